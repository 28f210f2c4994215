import { spawnSync } from 'node:child_process';

/** Runs Prometheus's own checker; gives its exit code and all that it said. */
export function promtool(...args: string[]): { readonly status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}
