import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cli, Folder, root } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { findAnvil } from '../support/anvil.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { readCompose } from './compose.ts';
import { checkHealth } from './healthcheck.ts';

// What the containers of the profile `full` run, with the same files, on this machine's loopback instead of a network of
// containers: only names and ports are put in their place. Grafana can't run here; Kafka's image neither, but its broker does.

const compose = readCompose();
const token = 'f'.repeat(64);
const payer = '0xa0Ee7A142d267C1f36714E4a8F75612F20a79720';

const folder = new Folder();
const children: ChildProcess[] = [];
let redis: RedisServer;
let kafka: KafkaBroker;
let signers: Cli[] = [];
let proxyUrl: string;
let prometheusUrl: string;
/** `HOST:PORT` of the compose file, and where it is here */
const places = new Map<string, string>();

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** A copy of one of the files that containers mount, with the places of this machine. */
function put(path: string): string {
  let text = readFileSync(join(root, path), 'utf8');
  for (const [there, here] of places) text = text.replaceAll(there, here);
  return folder.write(path.replaceAll('/', '-'), text);
}

function start(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

const isUp = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

const isAnswering = (url: string): Promise<boolean> =>
  fetch(url, { method: 'POST' }).then(
    () => true,
    () => false,
  );

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(50);
}

async function pay(): Promise<Response> {
  return fetch(`${proxyUrl}/generate-live-payment`, { method: 'POST', body: payableRequest() });
}

/** The value of a query, at most one; waits until the samples are there. */
async function query(expression: string): Promise<string | undefined> {
  const response = await fetch(
    `${prometheusUrl}/api/v1/query?query=${encodeURIComponent(expression)}`,
  );
  const { data } = (await response.json()) as { data: { result: { value: [number, string] }[] } };
  return data.result[0]?.value[1];
}

beforeAll(async () => {
  [redis, kafka] = await Promise.all([
    startRedisServer('--maxmemory-policy', 'noeviction'),
    startKafkaBroker(),
  ]);
  const topic = compose.services['topic']?.command ?? [];
  await kafka.createTopic(topic[topic.indexOf('--topic') + 1] ?? '', Number(topic.at(-1)));

  const [chain = 0, one = 0, two = 0, adminOne = 0, adminTwo = 0, proxy = 0, prometheus = 0] =
    await freePorts(7);
  places
    .set('http://anvil:8545', `http://127.0.0.1:${chain}`)
    .set('redis://redis:6379', redis.url)
    .set('kafka:9092', kafka.address)
    .set('signer-1:7936', `127.0.0.1:${one}`)
    .set('signer-2:7936', `127.0.0.1:${two}`)
    .set('signer-1:7937', `127.0.0.1:${adminOne}`)
    .set('signer-2:7937', `127.0.0.1:${adminTwo}`)
    .set('bind :7936', `bind 127.0.0.1:${proxy}`)
    .set('/run/secrets/admin-token', folder.write('admin-token', token));

  const anvil = readFileSync(join(root, 'docker/full/anvil.Containerfile'), 'utf8');
  const [, ...anvilArgs] = JSON.parse(/^CMD (.*)$/m.exec(anvil)?.[1] ?? '') as string[];
  const here = new Map([
    ['0.0.0.0', '127.0.0.1'],
    ['8545', `${chain}`],
    ['/state.json', join(root, 'docker/full/anvil-state.json')],
  ]);
  start(
    findAnvil(),
    anvilArgs.map((argument) => here.get(argument) ?? argument),
  );
  await until(() => isAnswering(`http://127.0.0.1:${chain}`));

  for (const name of ['keystore', 'keystore-password', 'policy.yaml']) {
    cpSync(join(root, 'docker/full', name), join(folder.path, name), { recursive: true });
  }
  const config = put('docker/full/signer.yaml');
  signers = [
    { port: one, admin: adminOne },
    { port: two, admin: adminTwo },
  ].map(
    ({ port, admin }, index) =>
      new Cli(['serve', '--config', config], {
        LIVEPEER_HSM_SIGNER__SERVER__LISTEN: `127.0.0.1:${port}`,
        LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: '6000',
        LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: `127.0.0.1:${admin}`,
        LIVEPEER_HSM_SIGNER__AUDIT__PATH: join(folder.path, `audit-${index}`),
      }),
  );
  await Promise.all(signers.map((signer) => signer.listening()));

  const proxyConfig = put('docker/full/haproxy.cfg');
  expect(spawnSync('haproxy', ['-c', '-f', proxyConfig]).status).toBe(0);
  start('haproxy', ['-f', proxyConfig, '-db']);
  proxyUrl = `http://127.0.0.1:${proxy}`;
  await until(() => isUp(`${proxyUrl}/readyz`));

  cpSync(join(root, 'deploy/prometheus/alerts.yaml'), join(folder.path, 'alerts.yaml'));
  const scrapeConfig = put('docker/full/prometheus.yml');
  const checked = spawnSync('promtool', ['check', 'config', scrapeConfig], { encoding: 'utf8' });
  expect(checked.status, checked.stdout + checked.stderr).toBe(0);
  const data = `--storage.tsdb.path=${join(folder.path, 'prometheus')}`;
  const listen = `--web.listen-address=127.0.0.1:${prometheus}`;
  start('prometheus', [`--config.file=${scrapeConfig}`, data, listen, '--log.level=error']);
  prometheusUrl = `http://127.0.0.1:${prometheus}`;
});

afterAll(async () => {
  for (const { child } of signers) child.kill('SIGKILL');
  await Promise.all(
    children.map(async (child) => {
      const exited = once(child, 'exit');
      if (child.exitCode === null && child.kill('SIGTERM')) await exited;
    }),
  );
  await kafka[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

describe('the profile full', () => {
  it('pays through the proxy, from the deposit on the chain', async () => {
    for (const signer of signers) expect(signer.stdout).toContain(`as ${payer}`);
    expect(await checkHealth(proxyUrl)).toEqual({ status: 0, stderr: '' });
    const responses = await Promise.all(Array.from({ length: 6 }, pay));
    expect(responses.map(({ status }) => status)).toEqual(Array(6).fill(200));
  });

  it('tells Kafka of each payment, whichever signer made it', async () => {
    const messages = await kafka.readAll('livepeer-payments', 6);
    const events = messages.map(({ value }) => JSON.parse(value) as { gateway: string });
    expect(events.map(({ gateway }) => gateway)).toEqual(Array(6).fill('full'));
  });

  it('has Prometheus scrape both by the token, and nobody without it', async () => {
    await expect.poll(() => query('count(up{job="livepeer-hsm-signer"} == 1)')).toBe('2');
    await expect.poll(() => query('sum(livepeer_hsm_signer_payments_total)')).toBe('6');
    const metrics = places.get('signer-1:7937') ?? '';
    expect((await fetch(`http://${metrics}/metrics`)).status).toBe(401);
  });

  it('counts what both spend in one window', async () => {
    const spent =
      'max(livepeer_hsm_signer_window_limit) - min(livepeer_hsm_signer_window_headroom)';
    const paid = 'sum(livepeer_hsm_signer_expected_value_wei_total)';
    // amounts are samples of 53 bits
    await expect.poll(() => query(`abs(${spent} - ${paid}) <= bool 1e6`)).toBe('1');
    expect(await query(`${paid} > bool 0`)).toBe('1');
    expect(await query(`${spent} > bool max(livepeer_hsm_signer_expected_value_wei_total)`)).toBe(
      '1',
    );
  });

  it('loses no payment while a signer is stopped', async () => {
    const [first] = signers;
    first?.child.kill('SIGTERM');
    const statuses: number[] = [];
    while (first?.child.exitCode === null) {
      statuses.push((await pay()).status);
      await sleep(200);
    }
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(statuses.length).toBeGreaterThan(5);
    expect((await pay()).status).toBe(200);
  });
});
