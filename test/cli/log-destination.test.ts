import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SmallDisk } from '../audit/small-disk.ts';
import { soon } from '../support/soon.ts';
import { Folder, devConfig, program } from './cli.ts';
import { payableRequest } from './payable-request.ts';

const post = async (url: string): Promise<number> => {
  const body = payableRequest();
  const response = await fetch(`${url}/generate-live-payment`, { method: 'POST', body });
  await response.arrayBuffer();
  return response.status;
};

it('goes on to pay, and ends, while the disk of its log is full; lines that waited are whole', async () => {
  using folder = new Folder();
  using disk = new SmallDisk(256);
  const path = join(disk.path, 'log');
  const log = openSync(path, 'a');
  const child = spawn(
    process.execPath,
    [program, 'serve', '--config', folder.write('signer.yaml', devConfig)],
    {
      stdio: ['ignore', 'pipe', log],
      env: {
        ...process.env,
        LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
        LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: '0',
        LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: 'false',
      },
    },
  );
  closeSync(log);
  const ended = once(child, 'close');
  let shown = '';
  child.stdout?.on('data', (chunk: Buffer) => (shown += chunk.toString()));
  const url = await soon(() => {
    const [, found] = /listening on (\S+) as/.exec(shown) ?? [];
    if (found === undefined) throw new Error(`not listening: ${shown}`);
    return found;
  });
  const signed = () => readFileSync(path, 'utf8').split('"msg":"payment signed"').length - 1;

  disk.fill(0);
  for (let payment = 0; payment < 10; payment += 1) expect(await post(url)).toBe(200);
  expect(signed()).toBeLessThan(10);
  disk.makeRoom();
  await soon(() => expect(signed()).toBe(10));

  disk.fill(0);
  for (let payment = 0; payment < 10; payment += 1) expect(await post(url)).toBe(200);
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: 30 });
});
