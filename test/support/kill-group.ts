import type { ChildProcess } from 'node:child_process';

/** Signals a child started with `detached`, and all that it forked. Nothing when it did not start: 0 would be our own group. */
export function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid !== undefined) process.kill(-pid, signal);
}
