import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { newCertificate } from '../auth/certificates.ts';
import { Cli, Folder, devConfig, run } from './cli.ts';
import { payableRequest } from './payable-request.ts';

const twoWorkers = {
  LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
  LIVEPEER_HSM_SIGNER__SERVER__WORKERS: '2',
};
const running: Cli[] = [];

afterEach(() => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
});

function serve(folder: Folder, environment: Record<string, string> = {}, text = devConfig): Cli {
  const cli = new Cli(['serve', '--config', folder.write('signer.yaml', text)], {
    ...twoWorkers,
    ...environment,
  });
  running.push(cli);
  return cli;
}

/** The worker processes, by Linux's `/proc`. */
function workersOf({ child }: Cli): number[] {
  const file = `/proc/${child.pid}/task/${child.pid}/children`;
  return readFileSync(file, 'utf8').split(' ').filter(Boolean).map(Number);
}

type Line = { readonly msg: string; readonly worker?: number; readonly pauseMs?: number };

function logOf({ stderr }: Cli): Line[] {
  return stderr
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

async function pay(url: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/generate-live-payment`, {
    method: 'POST',
    body: payableRequest(),
    headers: { Connection: 'close' },
  });
  return { status: response.status, text: await response.text() };
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await delay(20);
}

/** What operators are told by the signer, all its workers together. */
async function readiness(cli: Cli): Promise<{ status: number; report: unknown }> {
  const response = await fetch(`${await cli.adminListening()}/readyz`);
  return { status: response.status, report: await response.json() };
}

describe('several workers', () => {
  it('share one port and one key, made on first use, take connections in turns, and all end at SIGTERM', async () => {
    using folder = new Folder();
    const cli = serve(folder);
    const url = await cli.listening();
    const workers = workersOf(cli);
    expect(workers).toHaveLength(2);
    for (let payment = 0; payment < 6; payment += 1) expect((await pay(url)).status).toBe(200);
    cli.child.kill('SIGTERM');
    const { status, stdout } = await cli.ended();
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^made a new key for (0x\w{40})\nlivepeer-hsm-signer is listening on \S+ as \1\n$/,
    );
    const paying = logOf(cli).filter(({ msg }) => msg === 'payment signed');
    expect(new Set(paying.map(({ worker }) => worker))).toEqual(new Set([1, 2]));
    for (const worker of workers) expect(() => process.kill(worker, 0)).toThrow();
    expect(logOf(cli).map(({ msg }) => msg)).not.toContain('worker ended; it will be replaced');
  });

  it('take the states that another of them has sealed', async () => {
    using folder = new Folder();
    const cli = serve(folder, { LIVEPEER_HSM_SIGNER__LOG__LEVEL: 'debug' });
    const url = await cli.listening();
    const body = JSON.parse(payableRequest()) as Record<string, unknown>;
    const first = JSON.parse((await pay(url)).text) as { state: unknown };
    const statuses: number[] = [];
    for (let payment = 0; payment < 4; payment += 1) {
      const response = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        body: JSON.stringify({ ManifestID: 'a1b2c3d4', ...body, state: first.state }),
        headers: { Connection: 'close' },
      });
      statuses.push(response.status);
      await response.text();
    }
    // 400 if the state were not believed; whether something is due already is a matter of time
    expect(statuses.filter((status) => status !== 482 && status !== 200)).toEqual([]);
    const answering = () =>
      logOf(cli).filter(({ msg }) =>
        ['no tickets due', 'payment signed', 'answer repeated'].includes(msg),
      );
    await until(() => answering().length >= 5);
    expect(
      new Set(
        answering()
          .slice(1)
          .map(({ worker }) => worker),
      ),
    ).toEqual(new Set([1, 2]));
    expect(logOf(cli).map(({ msg }) => msg)).not.toContain('request refused');
  });

  it('are replaced when they end, later each time, while the others go on', async () => {
    using folder = new Folder();
    const cli = serve(folder);
    const url = await cli.listening();
    const listening = (): number => logOf(cli).filter(({ msg }) => msg === 'listening').length;
    // a worker that is killed takes along what it has not written yet
    await until(() => listening() === 2);
    for (const [crashes, pauseMs] of [1_000, 2_000].entries()) {
      const [victim = 0] = workersOf(cli).slice(-1);
      process.kill(victim, 'SIGKILL');
      await until(
        () => logOf(cli).filter(({ msg }) => msg.startsWith('worker ended')).length > crashes,
      );
      expect(logOf(cli).at(-1)).toMatchObject({ pauseMs, signal: 'SIGKILL' });
      expect((await pay(url)).status).toBe(200);
      await until(() => workersOf(cli).length === 2 && !workersOf(cli).includes(victim));
      await until(() => listening() === 3 + crashes);
    }
    expect(new URL(url).port).toBe(new URL(await cli.listening()).port);
  });

  it('end at SIGTERM also while none of them is there, and start none then', async () => {
    using folder = new Folder();
    const cli = serve(folder);
    await cli.listening();
    const ended = (): number =>
      logOf(cli).filter(({ msg }) => msg.startsWith('worker ended')).length;
    for (const worker of workersOf(cli)) process.kill(worker, 'SIGKILL');
    await until(() => ended() === 2);
    cli.child.kill('SIGTERM');
    expect(await cli.ended()).toMatchObject({ status: 0, signal: null });
    expect(ended()).toBe(2);
  });

  it('have one /metrics, which neither a stopped nor an ended worker takes away', async () => {
    using folder = new Folder();
    const cli = serve(folder);
    const url = await cli.listening();
    const read = async (): Promise<Map<string, number>> => {
      const response = await fetch(`${await cli.adminListening()}/metrics`);
      expect(response.status).toBe(200);
      const lines = (await response.text())
        .split('\n')
        .filter((line) => line.startsWith('livepeer'));
      const samples = lines.map((line) => line.split(/ (?=[^ ]+$)/) as [string, string]);
      return new Map(
        samples.map(([name, value]) => [name.replace(/sender="[^"]*",?/, ''), Number(value)]),
      );
    };
    const paymentsIn = (samples: Map<string, number>): number =>
      [...samples].reduce(
        (sum, [name, value]) => (name.includes('payments_total') ? sum + value : sum),
        0,
      );
    for (let payment = 0; payment < 6; payment += 1) expect((await pay(url)).status).toBe(200);
    const before = await read();
    expect(paymentsIn(before)).toBe(6);
    const build = [...before].filter(([name]) => name.includes('build_info'));
    expect(build.map(([, value]) => value)).toEqual([1]);

    const [stopped = 0, victim = 0] = workersOf(cli);
    process.kill(stopped, 'SIGSTOP');
    // however many ask at once
    const readings = await Promise.all(Array.from({ length: 12 }, read));
    expect(readings.map(paymentsIn)).toEqual(Array.from({ length: 12 }, () => 6));
    expect(cli.stderr).not.toContain('MaxListeners');
    expect(await readiness(cli)).toMatchObject({
      status: 503,
      report: { ready: false, parts: { workers: { code: 'WORKER_UNRESPONSIVE', worker: 1 } } },
    });
    process.kill(stopped, 'SIGCONT');
    await until(async () => (await readiness(cli)).status === 200);
    process.kill(victim, 'SIGKILL');
    await until(() => logOf(cli).some(({ msg }) => msg.startsWith('worker ended')));
    expect(paymentsIn(await read())).toBe(6);
    expect(await readiness(cli)).toMatchObject({
      report: { parts: { workers: { code: 'WORKER_UNRESPONSIVE', worker: 2 } } },
    });
  });

  it('are all asked by keys status, over TLS too, and nothing is said of a key on the word of one', async () => {
    using folder = new Folder();
    const { cert, key } = await newCertificate(undefined, {
      commonName: 'signer.example',
      usage: 'serverAuth',
      altNames: [{ type: 2, value: 'signer.example' }],
    });
    folder.write('cert.pem', cert);
    folder.write('key.pem', key);
    const [entry = ''] = /^ {2}- provider(?:.|\n)*?(?=^chain)/m.exec(devConfig) ?? [];
    const retiring = entry.replace('path: keystore', 'path: old').replace(/ +generate.*\n/, '');
    const text = devConfig
      .replace(entry, `${entry.replace(/ +generate.*\n/, '')}${retiring}    retiring: true\n`)
      .concat('admin: { tls: { cert: cert.pem, key: key.pem }, token: file:token }\n');
    folder.write('token', `${'operator '.repeat(4)}\n`.replaceAll(' ', '-'));
    for (const path of ['keystore', 'old']) {
      const made = devConfig.replace('path: keystore', `path: ${path}`);
      const file = folder.write(`${path}.yaml`, made);
      expect((await run(['keys', 'new', '--config', file])).status).toBe(0);
    }
    const cli = serve(folder, {}, text);
    await cli.listening();
    const url = await cli.adminListening();
    expect(url).toMatch(/^https:/);
    const status = async (): Promise<string> => {
      const args = ['keys', 'status', '--config', join(folder.path, 'signer.yaml')];
      const { status, stdout, stderr } = await run([...args, '--url', url]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout;
    };
    const whole = await status();
    expect(whole).toMatch(/no longer needed +not before \d{4}/);
    expect(whole).not.toContain('not heard');
    const [stopped = 0] = workersOf(cli);
    process.kill(stopped, 'SIGSTOP');
    const partial = await status();
    process.kill(stopped, 'SIGCONT');
    expect(partial).toMatch(/not heard +1 of the signer's workers/);
    expect(partial).toMatch(/no longer needed +not known: not all workers have answered/);
  });

  it('end with the exit code of the one that does not start', async () => {
    using folder = new Folder();
    const cli = serve(
      folder,
      {},
      devConfig.replace('generateIfMissing: true', 'generateIfMissing: false'),
    );
    const { status, stderr } = await cli.ended();
    expect(status).toBe(1);
    expect(stderr.match(/KEY_NOT_FOUND/g)).toHaveLength(1);
  });
});
