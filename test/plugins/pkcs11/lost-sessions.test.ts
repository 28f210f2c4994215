import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { plugin } from '../../../plugins/pkcs11/index.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { type RunningSigner, startSigner } from '../../../src/main.ts';
import { PayingSession } from '../../bench/paying-session.ts';
import { createFaultyModule, type FaultyModule } from '../../support/pkcs11-faults.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import { vectorChain } from '../../support/test-signer.ts';
import { configure } from './open-provider.ts';

/** What devices answer that lost their sessions, and until when. */
const losses = [
  { code: 0xb0, name: 'CKR_SESSION_CLOSED', cure: 'closing the last session' },
  { code: 0xb3, name: 'CKR_SESSION_HANDLE_INVALID', cure: 'a restart' },
  { code: 0x101, name: 'CKR_USER_NOT_LOGGED_IN', cure: 'a restart' },
  { code: 0x82, name: 'CKR_OBJECT_HANDLE_INVALID', cure: 'closing the last session' },
  { code: 0x60, name: 'CKR_KEY_HANDLE_INVALID', cure: 'a restart' },
  { code: 0x90, name: 'CKR_OPERATION_ACTIVE', cure: 'closing the last session' },
  { code: 0x30, name: 'CKR_DEVICE_ERROR', cure: 'a restart' },
  { code: 0xe0, name: 'CKR_TOKEN_NOT_PRESENT', cure: 'a restart' },
  { code: 0x70, name: 'CKR_MECHANISM_INVALID', cure: 'a restart' },
  { code: 0x80000384, name: 'a code of the vendor', cure: 'closing the last session' },
] as const;

let hsm: SoftHsm;
let faulty: FaultyModule;
let signer: RunningSigner;

async function start(sessions: number): Promise<void> {
  const { module, environment } = faulty;
  const section = plugin.configSchema.parse(configure(hsm, { module, environment, sessions }));
  const settings = configSchema.parse({
    server: { listen: '127.0.0.1:0' },
    keys: [{ provider: 'pkcs11' }],
    chain: vectorChain,
    // every payment is to ask the key, the same request too
    store: { kind: 'embedded', answersMaxBytes: 0 },
  });
  const key = {
    name: 'keys.0:pkcs11',
    plugin,
    section,
    generateIfMissing: false,
    isRetiring: false,
  };
  process.env['PIN'] = hsm.pin;
  const config = { settings, keys: [key], resolvePath: (path: string) => path } as const;
  signer = await startSigner(config, pino({ enabled: false }));
}

async function pay(): Promise<number> {
  const response = await fetch(`${signer.url}/generate-live-payment`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    // ticket parameters of its own: those of one set are used up after 500 tickets
    body: new PayingSession(1).request(),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Whether the load balancer may send payments here. */
async function isReady(): Promise<boolean> {
  const response = await fetch(`${signer.url}/readyz`);
  const { ready } = (await response.json()) as { ready: boolean };
  expect(response.status).toBe(ready ? 200 : 503);
  return ready;
}

beforeAll(() => {
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  faulty = createFaultyModule(hsm);
});

afterEach(async () => {
  await signer.close();
  faulty.reset();
});

afterAll(() => hsm.remove());

describe.each([{ sessions: 1 }, { sessions: 4 }])('with $sessions session(s)', ({ sessions }) => {
  it('the second payment after a loss succeeds, and readiness says what the last one did', async () => {
    await start(sessions);
    expect(await isReady()).toBe(true);
    for (const { code, name, cure } of losses) {
      faulty.lose(code, cure);
      const first = await pay();
      expect(await isReady(), name).toBe(first === 200);
      expect([name, await pay()]).toEqual([name, 200]);
      expect(await isReady(), name).toBe(true);
    }
  });

  it('so does it under load', async () => {
    await start(sessions);
    let isOver = false;
    const begun: { readonly order: number; status: number }[] = [];
    const payer = async (): Promise<void> => {
      while (!isOver) {
        const signatures = faulty.get('signatures');
        const payment = { order: begun.length, status: 0 };
        begun.push(payment);
        payment.status = await pay();
        if (payment.status === 200) continue;
        const ready = await isReady();
        // no signature since this payment began: the key is failing
        if (faulty.get('signatures') === signatures) expect(ready).toBe(false);
      }
    };
    const payers = Array.from({ length: 6 }, payer);
    try {
      for (const { code, name, cure } of losses) {
        const before = begun.length;
        faulty.lose(code, cure);
        const isAnswered = () =>
          begun.slice(before, before + 12).filter(({ status }) => status > 0);
        await expect.poll(() => isAnswered().length, { timeout: 20_000 }).toBe(12);
        // those that were under way at the loss aside, which `before` leaves out
        expect([name, begun[before + 1]?.status]).toEqual([name, 200]);
        expect(faulty.get('lostCode'), name).toBe(0);
      }
    } finally {
      isOver = true;
      await Promise.all(payers);
    }
    expect(await isReady()).toBe(true);
  });

  it('a device that stays away turns readiness red, and its return green without a payment', async () => {
    await start(sessions);
    faulty.fail('C_SignInit', 0xb0, 1_000_000);
    expect(await pay()).toBe(503);
    expect(await isReady()).toBe(false);
    faulty.set('failCount', 0);
    await expect.poll(isReady, { timeout: 20_000, interval: 100 }).toBe(true);
    expect(await pay()).toBe(200);
  });
});
