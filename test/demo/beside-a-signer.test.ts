import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Cli, Folder, devConfig, run } from '../cli/cli.ts';

it('the demo runs beside a signer with the same configuration, and leaves its audit log alone', async () => {
  using folder = new Folder();
  const config = folder.write('signer.yaml', `${devConfig}audit: { path: audit }\n`);
  const signer = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0']);
  await signer.listening();
  const demo = await run(['demo', '--config', config]);
  signer.child.kill('SIGTERM');
  expect(await signer.ended()).toMatchObject({ status: 0 });
  expect(demo).toMatchObject({ status: 0, stderr: '' });
  expect(demo.stdout).toMatch(/All 12 expectations held/);
  expect(readdirSync(join(folder.path, 'audit'))).toEqual(['server-1']);
}, 60_000);
