import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { ServeProcess } from './serve-process.ts';

/** A load balancer of connections, as simple as they come: each new one goes to an instance that is ready, by chance. */
export type FleetProxy = AsyncDisposable & {
  readonly port: number;
  /** which instance a connection went to, by the client's port */
  instanceOf(clientPort: number): ServeProcess | undefined;
};

const pollIntervalMs = 200;

export async function startFleetProxy(
  instances: () => readonly ServeProcess[],
  pick: (count: number) => number,
): Promise<FleetProxy> {
  let ready: readonly ServeProcess[] = instances();
  let isOver = false;
  const targets = new Map<number, ServeProcess>();
  const sockets = new Set<Socket>();

  const isReady = async ({ url }: ServeProcess): Promise<boolean> =>
    fetch(`${url}/readyz`).then(
      async (response) => (await response.text(), response.status === 200),
      () => false,
    );

  async function poll(): Promise<void> {
    while (!isOver) {
      const all = instances();
      const states = await Promise.all(all.map(isReady));
      ready = all.filter((_, index) => states[index]);
      await new Promise((resolve) => setTimeout(resolve, pollIntervalMs));
    }
  }

  const server = createServer((client) => {
    const alive = ready.filter((instance) => instances().includes(instance));
    const target = alive[pick(Math.max(1, alive.length))];
    if (!target) {
      client.destroy();
      return;
    }
    targets.set(client.remotePort ?? 0, target);
    const upstream = connect(Number(new URL(target.url).port), '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.pipe(other);
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroySoon();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const polling = poll();
  return {
    port: (server.address() as AddressInfo).port,
    instanceOf: (clientPort) => targets.get(clientPort),
    async [Symbol.asyncDispose]() {
      isOver = true;
      await polling;
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
