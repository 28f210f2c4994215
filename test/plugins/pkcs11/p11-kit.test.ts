import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { DeviceThread } from '../../../plugins/pkcs11/device-thread.ts';
import { ModuleHost } from '../../../plugins/pkcs11/module-host.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { P11KitServer } from '../../support/p11-kit-server.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import {
  digestOf,
  expectGoodSignature,
  failureOf,
  openProvider,
  patient,
} from './open-provider.ts';

let hsm: SoftHsm;
let server: P11KitServer;
let provider: KeyProvider;

beforeAll(() => {
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  server = new P11KitServer(hsm);
});

beforeEach(async () => {
  await server.start();
  const { module, environment } = server;
  provider = await openProvider(hsm, { module, environment });
});

afterEach(async () => {
  await provider.close();
  await server.kill();
});

afterAll(() => hsm.remove());

it('signs through a p11-kit server', async () => {
  expect(provider.concurrency).toBe(4);
  await Promise.all([1, 2, 3, 4, 5, 6].map((index) => expectGoodSignature(provider, index)));
  expect(await provider.describeKey?.(patient)).toMatchObject({ tokenModel: 'SoftHSM v2' });
});

it('is known to give each thread a connection of its own, which no other restart voids', async () => {
  const host = ModuleHost.acquire(server.module, server.environment);
  const { generation } = host;
  const threads = [new DeviceThread(server.module), new DeviceThread(server.module)] as const;
  for (const thread of threads) await host.initialise(thread);
  await host.restart(generation, threads[1]);
  expect(host.generation).toBe(generation);
  await host.release(threads);
  await Promise.all(threads.map((thread) => thread.terminate()));
  await expectGoodSignature(provider);
});

it('is unavailable, to be tried again, while the server is gone, and serves once it is back', async () => {
  await expectGoodSignature(provider);
  await server.kill();
  const failure = await failureOf(provider.signDigest(digestOf(1), patient));
  expect(failure.code).toBe('PROVIDER_UNAVAILABLE');
  expect(failure.retryable).toBe(true);
  expect((await failureOf(provider.checkHealth?.(patient) ?? Promise.resolve())).code).toBe(
    'PROVIDER_UNAVAILABLE',
  );

  await server.start();
  await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((index) => expectGoodSignature(provider, index)));
  await provider.checkHealth?.(patient);
});

it('serves a call that began while the server was gone, if it comes back in time', async () => {
  await server.kill();
  const call = expectGoodSignature(provider);
  await delay(200);
  await server.start();
  await call;
});

it('closes while the server is gone', async () => {
  await server.kill();
  await provider.close();
  expect((await failureOf(provider.signDigest(digestOf(1), patient))).code).toBe('PROVIDER_CLOSED');
});
