import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
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

it.each([
  { signal: 'SIGTERM', status: 143 },
  { signal: 'SIGINT', status: 130 },
] as const)(
  'the demo ends with a sentence on $signal',
  async ({ signal, status }) => {
    using folder = new Folder();
    const demo = new Cli(['demo', '--config', folder.write('signer.yaml', devConfig)]);
    while (!demo.stdout.includes(' 200 ')) await once(demo.child.stdout ?? demo.child, 'data');
    demo.child.kill(signal);
    const ended = await demo.ended();
    expect(ended).toMatchObject({ status, signal: null, stderr: '' });
    expect(ended.stdout).toMatch(/\nThe demo was stopped before its end: [^{}\n]+\n$/);
  },
  60_000,
);
