import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { root } from '../cli/cli.ts';

/** Runs the image's health check against a signer at another address. */
export async function checkHealth(url: string): Promise<{ status: number | null; stderr: string }> {
  const child = spawn(process.execPath, [join(root, 'docker/healthcheck.mjs')], {
    env: { ...process.env, HEALTHCHECK_URL: `${url}/healthz` },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { status: child.exitCode, stderr };
}
