import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { DeviceThread } from '../../../plugins/pkcs11/device-thread.ts';
import { ModuleHost } from '../../../plugins/pkcs11/module-host.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';

let hsm: SoftHsm;
let host: ModuleHost;
const threads: DeviceThread[] = [];

function startThread(): DeviceThread {
  const thread = new DeviceThread(hsm.module);
  threads.push(thread);
  return thread;
}

beforeAll(() => {
  hsm = createSoftHsm();
});

afterEach(async () => {
  await host.release(threads);
  await Promise.all(threads.splice(0).map((thread) => thread.terminate()));
});

afterAll(() => hsm.remove());

it('counts one initialisation, however many threads ask for it', async () => {
  host = ModuleHost.acquire(hsm.module, { SOFTHSM2_CONF: hsm.configFile });
  const before = host.generation;
  for (const thread of [startThread(), startThread(), startThread()]) await host.initialise(thread);
  expect(host.generation).toBe(before + 1);
});

it('does not let a call through whose session a restart has voided', async () => {
  host = ModuleHost.acquire(hsm.module, { SOFTHSM2_CONF: hsm.configFile });
  const thread = startThread();
  await host.initialise(thread);
  const { generation } = host;
  let finish = (): void => undefined;
  const underWay = host.use(generation, () => new Promise<void>((resolve) => (finish = resolve)));
  const restart = host.restart(generation, thread);
  await new Promise(setImmediate); // the restart waits for the call under way
  expect(host.generation).toBe(generation);

  const call = vi.fn(() => Promise.resolve());
  const late = host.use(generation, call);
  finish();
  await Promise.all([underWay, restart]);
  await expect(late).rejects.toMatchObject({ ckr: 'CKR_SESSION_CLOSED' });
  expect(call).not.toHaveBeenCalled();
  expect(host.generation).toBe(generation + 1);
});

it('restarts once for all that ask for the same reason', async () => {
  host = ModuleHost.acquire(hsm.module, { SOFTHSM2_CONF: hsm.configFile });
  const [first, second] = [startThread(), startThread()];
  await host.initialise(first);
  const { generation } = host;
  await Promise.all([first, second].map((thread) => host.restart(generation, thread)));
  expect(host.generation).toBe(generation + 1);
});
