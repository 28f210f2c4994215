import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Cli, Folder, devConfig, run } from '../cli/cli.ts';
import { recordsOf } from './test-log.ts';

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(20);
}

it(
  'gives each worker a chain of its own, which its replacement goes on with, and one to commands',
  { timeout: 120_000 },
  async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', `${devConfig}audit: { path: audit }\n`);
    const chainOf = (name: string): string => join(folder.path, 'audit', name);
    const startsOf = (name: string): number =>
      existsSync(chainOf(name))
        ? recordsOf(chainOf(name)).filter(({ kind }) => kind === 'start').length
        : 0;
    const signer = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {
      LIVEPEER_HSM_SIGNER__SERVER__WORKERS: '2',
    });
    try {
      await signer.listening();
      expect([startsOf('server-1'), startsOf('server-2')]).toEqual([1, 1]);
      const children = `/proc/${signer.child.pid}/task/${signer.child.pid}/children`;
      const [first = 0] = readFileSync(children, 'utf8').split(' ').filter(Boolean).map(Number);
      process.kill(first, 'SIGKILL');
      await until(() => startsOf('server-1') === 2);
      expect(startsOf('server-2')).toBe(1);

      expect(await run(['keys', 'check', '--config', config])).toMatchObject({ status: 0 });
      expect(recordsOf(chainOf('cli')).slice(0, 3)).toMatchObject([
        { kind: 'start' },
        { kind: 'key-use', intent: 'self-test' },
        { kind: 'signed' },
      ]);
      const { status, stdout } = await run(['audit', 'verify', join(folder.path, 'audit')]);
      expect(status).toBe(0);
      expect(stdout.match(/^chain {4}\S+: intact$/gm)).toHaveLength(3);

      const second = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0']);
      const ended = await second.ended();
      expect(ended.status).toBe(1);
      expect(ended.stderr).toContain('another process writes the audit log');
    } finally {
      signer.child.kill('SIGTERM');
      await signer.ended();
    }
  },
);
