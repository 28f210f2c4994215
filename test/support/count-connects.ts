import { createHook } from 'node:async_hooks';

/** Counts the TCP connections that this process begins, whoever does, and whether or not they succeed. */
export function countConnects(): { readonly begun: number; stop(): void } {
  let begun = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'TCPCONNECTWRAP') begun += 1;
    },
  }).enable();
  return {
    get begun() {
      return begun;
    },
    stop: () => hook.disable(),
  };
}
