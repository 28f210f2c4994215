import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { DeviceThread } from '../../../plugins/pkcs11/device-thread.ts';
import { ModuleHost } from '../../../plugins/pkcs11/module-host.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import {
  digestOf,
  expectGoodSignature,
  failureOf,
  openProvider,
  patient,
} from './open-provider.ts';

const client = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so';

let hsm: SoftHsm;
let socket: string;
let environment: Record<string, string>;
let server: ChildProcess;
let provider: KeyProvider;

async function startServer(): Promise<void> {
  rmSync(socket, { force: true });
  const options = ['server', '--foreground', '--name', socket, '--provider', hsm.module, 'pkcs11:'];
  const env = { ...process.env, SOFTHSM2_CONF: hsm.configFile, XDG_RUNTIME_DIR: hsm.directory };
  server = spawn('p11-kit', options, { detached: true, stdio: 'ignore', env });
  const failed = new Promise<never>((_, reject) =>
    server.once('error', () => reject(new Error('these tests need p11-kit: install it'))),
  );
  const ready = async (): Promise<void> => {
    while (!existsSync(socket)) await delay(10);
  };
  await Promise.race([ready(), failed]);
}

/** The server and the processes it forked, one for each connection, at a blow. */
async function killServer(): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  process.kill(-server.pid, 'SIGKILL');
  await gone;
}

beforeAll(() => {
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  socket = join(hsm.directory, 'p11-kit.sock');
});

beforeEach(async () => {
  await startServer();
  environment = { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` };
  provider = await openProvider(hsm, { module: client, environment });
});

afterEach(async () => {
  await provider.close();
  await killServer();
});

afterAll(() => hsm.remove());

it('signs through a p11-kit server', async () => {
  expect(provider.concurrency).toBe(4);
  await Promise.all([1, 2, 3, 4, 5, 6].map((index) => expectGoodSignature(provider, index)));
  expect(await provider.describeKey?.(patient)).toMatchObject({ tokenModel: 'SoftHSM v2' });
});

it('is known to give each thread a connection of its own, which no other restart voids', async () => {
  const host = ModuleHost.acquire(client, environment);
  const { generation } = host;
  const threads = [new DeviceThread(client), new DeviceThread(client)] as const;
  for (const thread of threads) await host.initialise(thread);
  await host.restart(generation, threads[1]);
  expect(host.generation).toBe(generation);
  await host.release(threads);
  await Promise.all(threads.map((thread) => thread.terminate()));
  await expectGoodSignature(provider);
});

it('is unavailable, to be tried again, while the server is gone, and serves once it is back', async () => {
  await expectGoodSignature(provider);
  await killServer();
  const failure = await failureOf(provider.signDigest(digestOf(1), patient));
  expect(failure.code).toBe('PROVIDER_UNAVAILABLE');
  expect(failure.retryable).toBe(true);
  expect((await failureOf(provider.checkHealth?.(patient) ?? Promise.resolve())).code).toBe(
    'PROVIDER_UNAVAILABLE',
  );

  await startServer();
  await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((index) => expectGoodSignature(provider, index)));
  await provider.checkHealth?.(patient);
});

it('serves a call that began while the server was gone, if it comes back in time', async () => {
  await killServer();
  const call = expectGoodSignature(provider);
  await delay(200);
  await startServer();
  await call;
});

it('closes while the server is gone', async () => {
  await killServer();
  await provider.close();
  expect((await failureOf(provider.signDigest(digestOf(1), patient))).code).toBe('PROVIDER_CLOSED');
});
