import { renameSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Cli, Folder, devConfig } from './cli.ts';
import { payableRequest } from './payable-request.ts';

const running: Cli[] = [];

afterEach(() => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
});

async function serve(folder: Folder, policy: string, environment = {}): Promise<[Cli, string]> {
  folder.write('policy.yaml', policy);
  const config = folder.write('signer.yaml', `${devConfig}policy: { file: policy.yaml }\n`);
  const cli = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], environment);
  running.push(cli);
  return [cli, await cli.listening()];
}

async function pay(url: string): Promise<number> {
  const response = await fetch(`${url}/generate-live-payment`, {
    method: 'POST',
    body: payableRequest(),
    headers: { Connection: 'close' },
  });
  await response.text();
  return response.status;
}

function countLines({ stderr }: Cli, message: string): number {
  return stderr.split('\n').filter((line) => line.includes(`"msg":"${message}`)).length;
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await delay(50);
}

const allow = 'default: allow\n';
const deny = 'default: deny\n';

describe('the policy file of a running signer', () => {
  it('comes into force when it is replaced, and never with a mistake in it or with needs that can’t be met', async () => {
    using folder = new Folder();
    const [cli, url] = await serve(folder, deny);
    expect(await pay(url)).toBe(403);
    renameSync(folder.write('next.yaml', allow), `${folder.path}/policy.yaml`);
    await until(async () => (await pay(url)) === 200);
    folder.write('policy.yaml', 'default: dany\n');
    await until(() => countLines(cli, 'file not reloaded') === 1);
    expect(cli.stderr).toContain(String.raw`default: expected \"allow\" or \"deny\"`);
    const window = '{ id: a, window: { per: all, every: 1h, tickets: 0 } }';
    folder.write('policy.yaml', `${allow}rules: [${window}]\n`);
    await until(() => countLines(cli, 'file not reloaded') === 2);
    expect(cli.stderr).toContain('set store.path');
    expect(await pay(url)).toBe(200);
    folder.write('policy.yaml', deny);
    await until(async () => (await pay(url)) === 403);
  });

  it('is read again by every worker at SIGHUP, which ends none of them', async () => {
    using folder = new Folder();
    const [cli, url] = await serve(folder, deny, { LIVEPEER_HSM_SIGNER__SERVER__WORKERS: '2' });
    expect(await pay(url)).toBe(403);
    cli.child.kill('SIGHUP');
    await until(() => countLines(cli, 'file reloaded') === 2);
    folder.write('policy.yaml', allow);
    // the workers take connections in turns
    await until(async () => (await pay(url)) === 200 && (await pay(url)) === 200);
    cli.child.kill('SIGTERM');
    expect((await cli.ended()).status).toBe(0);
    expect(countLines(cli, 'worker ended')).toBe(0);
  });

  it('is nothing that SIGHUP ends a signer without', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', devConfig);
    const cli = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0']);
    running.push(cli);
    const url = await cli.listening();
    cli.child.kill('SIGHUP');
    await until(() => countLines(cli, 'SIGHUP') === 1);
    expect(await pay(url)).toBe(200);
  });
});
