import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
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

function serve(config: string, listen: string, stdio: StdioOptions): ChildProcess {
  return spawn(process.execPath, [program, 'serve', '--config', config], {
    stdio,
    env: {
      ...process.env,
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: listen,
      LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: '0',
      LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: 'false',
    },
  });
}

it('starts, goes on to pay, and ends, while the disk of its log is full; lines that waited are whole', async () => {
  using folder = new Folder();
  using disk = new SmallDisk(256);
  const path = join(disk.path, 'log');
  const log = openSync(path, 'a');
  const config = folder.write('signer.yaml', devConfig);
  const child = serve(config, '127.0.0.1:0', ['ignore', 'pipe', log]);
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

  const again = serve(config, new URL(url).host, ['ignore', log, log]);
  closeSync(log);
  const endedAgain = once(again, 'close');
  await soon(async () => expect(await post(url)).toBe(200));
  again.kill('SIGTERM');
  expect(await endedAgain).toEqual([0, null]);
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: 30 });
});
