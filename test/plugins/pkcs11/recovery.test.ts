import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type * as Pkcs11js from 'pkcs11js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { createFaultyModule, type FaultyModule } from '../../support/pkcs11-faults.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';
import {
  digestOf,
  expectGoodSignature,
  failureOf,
  type LogLine,
  openProvider,
  patient,
  type Settings,
} from './open-provider.ts';

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js;

let hsm: SoftHsm;
let faulty: FaultyModule;
let log: LogLine[];
const opened: KeyProvider[] = [];

async function open(changes: Settings = {}, pin = hsm.pin): Promise<KeyProvider> {
  log = [];
  const { module, environment } = faulty;
  const provider = await openProvider(hsm, { module, environment, ...changes }, { pin, log });
  opened.push(provider);
  return provider;
}

/** The module as another part of this process would use it. */
function loadModule(): Pkcs11js.PKCS11 {
  const module = new pkcs11js.PKCS11();
  module.load(faulty.module);
  return module;
}

function closeAllSessions(): void {
  const module = loadModule();
  for (const slot of module.C_GetSlotList(true)) module.C_CloseAllSessions(slot);
}

beforeAll(() => {
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  faulty = createFaultyModule(hsm);
});

/** Resolves once `count` calls are inside of C_Sign. */
function signingIs(count: number): Promise<void> {
  return vi.waitFor(() => expect(faulty.get('signing')).toBe(count), { timeout: 20_000 });
}

/** A caller's deadline that passes when it is told to. */
function createDeadline(): { signal: AbortSignal; pass: () => void } {
  const controller = new AbortController();
  const pass = () => controller.abort(new DOMException('too late', 'TimeoutError'));
  return { signal: controller.signal, pass };
}

afterEach(async () => {
  faulty.release();
  await Promise.all(opened.splice(0).map((provider) => provider.close()));
  await signingIs(0);
  faulty.reset();
});

afterAll(() => hsm.remove());

describe('a lost session', () => {
  it('is replaced, with a login, when all sessions were closed underneath', async () => {
    const provider = await open();
    closeAllSessions();
    await Promise.all(
      [1, 2, 3, 4, 5, 6, 7, 8].map((index) => expectGoodSignature(provider, index)),
    );
    expect(faulty.get('logins')).toBe(2);
    expect(log.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        'the PKCS#11 device failed a call; its sessions are being replaced',
        'the PKCS#11 device serves again',
      ]),
    );
  });

  it('is replaced when the module was finalised underneath', async () => {
    const provider = await open();
    loadModule().C_Finalize();
    await Promise.all(
      [1, 2, 3, 4, 5, 6, 7, 8].map((index) => expectGoodSignature(provider, index)),
    );
    await provider.checkHealth?.(patient);
  });

  it('is noticed by a health check, which repairs it', async () => {
    const provider = await open();
    closeAllSessions();
    await provider.checkHealth?.(patient);
    expect(faulty.get('logins')).toBe(2);
    expect(faulty.get('signatures')).toBe(0);
  });

  it.each([
    'CKR_SESSION_HANDLE_INVALID',
    'CKR_SESSION_CLOSED',
    'CKR_OPERATION_ACTIVE',
    'CKR_USER_NOT_LOGGED_IN',
    'CKR_DEVICE_REMOVED',
    'CKR_DEVICE_ERROR',
    'CKR_TOKEN_NOT_PRESENT',
    'CKR_OBJECT_HANDLE_INVALID',
    'CKR_KEY_HANDLE_INVALID',
    'CKR_CRYPTOKI_NOT_INITIALIZED',
    'CKR_GENERAL_ERROR',
    'CKR_FUNCTION_FAILED',
  ] as const)('is replaced within the call after %s', async (name) => {
    const provider = await open();
    for (const step of ['C_SignInit', 'C_Sign'] as const) {
      faulty.fail(step, pkcs11js[name as 'CKR_DEVICE_ERROR'], 3);
      await expectGoodSignature(provider);
      expect(faulty.get('failCount')).toBe(0);
    }
    await Promise.all([1, 2, 3, 4].map((index) => expectGoodSignature(provider, index)));
    expect(faulty.get('openSessions')).toBe(4);
  });

  it.each([
    { code: 0xb0, cure: 'closing the last session', at: 'C_SignInit' },
    { code: 0x101, cure: 'a restart', at: 'C_SignInit' },
    { code: 0x63, cure: 'a restart', at: 'C_SignInit' },
    { code: 0x70, cure: 'a restart', at: 'C_Sign' },
    { code: 0x80000384, cure: 'a restart', at: 'C_Sign' },
  ] as const)(
    'leads to a restart of the module when no new session cures it: $code until $cure',
    async ({ code, cure, at }) => {
      const provider = await open();
      const restarts = faulty.get('restarts');
      faulty.lose(code, cure, at);
      await provider.checkHealth?.(patient);
      await expectGoodSignature(provider);
      await Promise.all([1, 2, 3, 4].map((index) => expectGoodSignature(provider, index)));
      expect(faulty.get('restarts')).toBe(restarts + 1);
      expect(faulty.get('openSessions')).toBe(4);
    },
  );

  it('leads to a restart even of a module that can’t be finalised while sessions are open', async () => {
    const provider = await open();
    faulty.set('finalizeFails', 1);
    faulty.lose(0xb0, 'a restart');
    await expectGoodSignature(provider);
    expect(faulty.get('openSessions')).toBeGreaterThan(0);
  });

  it('is noticed by the signature of another key, which is not handed out', async () => {
    hsm.makeKey({ label: 'other', id: '02' });
    const provider = await open();
    faulty.set('swappedKey', 1);
    await Promise.all([1, 2, 3, 4, 5].map((index) => expectGoodSignature(provider, index)));
    expect(log[0]).toMatchObject({ fields: { code: 'PROVIDER_REPLY_INVALID' } });
  });

  it('is reported with the vendor’s own number', async () => {
    const provider = await open({ sessions: 1 });
    faulty.fail('C_Sign', 0x80000384, 1_000);
    const failure = await failureOf(provider.signDigest(digestOf(1), patient));
    expect(failure.code).toBe('PROVIDER_UNAVAILABLE');
    expect(failure.details).toBe('C_Sign: CKR_VENDOR_DEFINED 0x80000384');
  });

  it('is reported as unavailable, to be tried again, when the device stays away', async () => {
    const provider = await open();
    faulty.fail('C_Sign', pkcs11js.CKR_DEVICE_ERROR, 1_000);
    const failure = await failureOf(provider.signDigest(digestOf(1), patient));
    expect(failure.code).toBe('PROVIDER_UNAVAILABLE');
    expect(failure.retryable).toBe(true);
    expect(failure.message).not.toContain('CKR_');
    expect(failure.details).toBe('C_Sign: CKR_DEVICE_ERROR');
    expect(log).toHaveLength(1);
    faulty.set('failCount', 0);
    await expectGoodSignature(provider);
  });

  it('is reported at the deadline of the call, which is not waited for', async () => {
    const provider = await open({ sessions: 1 });
    faulty.hold();
    const { signal, pass } = createDeadline();
    const call = failureOf(provider.signDigest(digestOf(1), { signal }));
    await signingIs(1);
    faulty.fail('C_Sign', pkcs11js.CKR_DEVICE_ERROR, 1_000);
    pass();
    expect((await call).code).toBe('PROVIDER_TIMEOUT');
    expect(faulty.get('signing')).toBe(1);
  });

  it('is not replaced by a session on another key of the same name', async () => {
    hsm.makeKey({ label: 'replaced', id: '0a' });
    const provider = await open({ label: 'replaced' });
    await expectGoodSignature(provider);
    for (const type of ['privkey', 'pubkey']) {
      hsm.pkcs11Tool(['--delete-object', '--type', type, '--id', '0a']);
    }
    hsm.makeKey({ label: 'replaced', id: '0a' });
    loadModule().C_Finalize();
    for (let call = 0; call < 6; call += 1) {
      const failure = await failureOf(provider.signDigest(digestOf(1), patient));
      expect(failure.code).toBe('KEY_UNSUITABLE');
      expect(failure.message).toContain('no longer the one read at start');
    }
    expect(faulty.get('openSessions')).toBe(0);
  });

  it('of one provider does not disturb another on the same module', async () => {
    const [first, second] = [await open(), await open({ sessions: 2 })];
    const work = Array.from({ length: 40 }, (_, index) =>
      expectGoodSignature(index % 2 === 0 ? first : second, index),
    );
    faulty.fail('C_Sign', pkcs11js.CKR_DEVICE_ERROR, 6);
    await Promise.all(work);
    await Promise.all([first, second].map((provider) => expectGoodSignature(provider)));
  });
});

describe('a token that is hidden until the module is initialised again', () => {
  it('is found at start', async () => {
    faulty.set('hideTokens', 1);
    await expectGoodSignature(await open());
    expect(faulty.get('restarts')).toBe(1);
  });

  it('is reported as not there when it stays so, after a second look', async () => {
    faulty.set('hideTokens', 2);
    expect(await failureOf(open())).toMatchObject({
      code: 'KEY_NOT_FOUND',
      message: expect.stringContaining('tokens present: none') as string,
    });
  });

  it('costs another key on the same module no session', async () => {
    const other = await open();
    faulty.set('hideTokens', 1);
    expect(await failureOf(open())).toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(faulty.get('restarts')).toBe(0);
    faulty.set('hideTokens', 0);
    await expectGoodSignature(other);
  });
});

describe('the PIN', () => {
  it('is tried once when it is refused', async () => {
    const failure = await failureOf(open({}, '86420'));
    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(faulty.get('logins')).toBe(1);
    expect(faulty.get('openSessions')).toBe(0);
  });

  it('is never tried again by a provider whose later login was refused', async () => {
    const provider = await open();
    faulty.fail('C_Login', pkcs11js.CKR_PIN_INCORRECT, 1);
    closeAllSessions();
    const calls = Array.from({ length: 12 }, (_, index) =>
      failureOf(provider.signDigest(digestOf(index), patient)),
    );
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(['KEY_ACCESS_DENIED']));
    expect((await failureOf(provider.signDigest(digestOf(1), patient))).code).toBe(
      'KEY_ACCESS_DENIED',
    );
    expect(faulty.get('logins')).toBe(2);
  });

  it.each(['CKR_USER_PIN_NOT_INITIALIZED', 'CKR_USER_TYPE_INVALID'] as const)(
    'is tried again after a later %s, which a token without its device answers',
    async (name) => {
      const provider = await open();
      faulty.fail('C_Login', pkcs11js[name as 'CKR_DEVICE_ERROR'], 1);
      closeAllSessions();
      await expectGoodSignature(provider);
      expect(faulty.get('logins')).toBe(3);
    },
  );

  it('is not tried while it is one wrong PIN from being locked, and is once it is not', async () => {
    const provider = await open();
    faulty.set('tokenFlags', pkcs11js.CKF_USER_PIN_FINAL_TRY);
    closeAllSessions();
    const failure = await failureOf(provider.signDigest(digestOf(1), patient));
    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(faulty.get('logins')).toBe(1);
    faulty.set('tokenFlags', 0);
    await expectGoodSignature(provider);
  });

  it('has its own message when the token has locked it', async () => {
    faulty.fail('C_Login', pkcs11js.CKR_PIN_LOCKED, 1);
    const failure = await failureOf(open());
    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(failure.message).toContain('the PIN is locked after too many wrong ones');
  });

  it.each([
    { what: 'locked', flag: pkcs11js.CKF_USER_PIN_LOCKED, message: 'the PIN is locked' },
    {
      what: 'one wrong PIN from being locked',
      flag: pkcs11js.CKF_USER_PIN_FINAL_TRY,
      message: 'one more wrong PIN would lock the token',
    },
  ])('is not tried at all on a token that is $what', async ({ flag, message }) => {
    faulty.set('tokenFlags', flag);
    const failure = await failureOf(open());
    expect(failure.code).toBe('KEY_ACCESS_DENIED');
    expect(failure.message).toContain(message);
    expect(faulty.get('logins')).toBe(0);
  });

  it('is sent once for all sessions', async () => {
    await open({ sessions: 8 });
    expect(faulty.get('logins')).toBe(1);
    expect(faulty.get('openSessions')).toBe(8);
  });
});

describe('the sessions', () => {
  it('are no more than the token allows', async () => {
    faulty.set('maxSessions', 2);
    const provider = await open({ sessions: 8 });
    expect(provider.concurrency).toBe(2);
    expect(faulty.get('openSessions')).toBe(2);
    expect(log).toEqual([
      expect.objectContaining({
        message: 'the PKCS#11 token allows fewer sessions than configured',
        fields: { key: provider.keyRef, configured: 8, opened: 2 },
      }),
    ]);
    await Promise.all([1, 2, 3, 4].map((index) => expectGoodSignature(provider, index)));
  });

  it('are as many as the token opens when it states no limit', async () => {
    faulty.fail('C_OpenSession', pkcs11js.CKR_SESSION_COUNT, 1_000, 3);
    const provider = await open({ sessions: 8 });
    expect(provider.concurrency).toBe(3);
    await Promise.all([1, 2, 3, 4].map((index) => expectGoodSignature(provider, index)));
  });

  it('are reported as missing when the token opens none', async () => {
    faulty.fail('C_OpenSession', pkcs11js.CKR_SESSION_COUNT, 1_000);
    const failure = await failureOf(open());
    expect(failure.code).toBe('PROVIDER_UNAVAILABLE');
    expect(failure.details).toBe('C_OpenSession: CKR_SESSION_COUNT');
  });

  it('sign in parallel, one call each', async () => {
    const provider = await open({ sessions: 3 });
    faulty.hold();
    const calls = [1, 2, 3, 4, 5, 6].map((index) => expectGoodSignature(provider, index));
    await signingIs(3);
    faulty.release();
    await Promise.all(calls);
    expect(faulty.get('mostSigning')).toBe(3);
  });

  it('block neither the event loop nor file access while the device works', async () => {
    const provider = await open({ sessions: 8 });
    faulty.hold();
    const calls = Array.from({ length: 8 }, (_, index) =>
      provider.signDigest(digestOf(index), patient),
    );
    await signingIs(8);
    await readFile(hsm.configFile);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(faulty.get('signing')).toBe(8);
    faulty.release();
    await Promise.all(calls);
  });

  it('stay taken after an abort until the device has returned', async () => {
    const provider = await open({ sessions: 1 });
    faulty.hold();
    const { signal, pass } = createDeadline();
    const call = failureOf(provider.signDigest(digestOf(1), { signal }));
    await signingIs(1);
    pass();
    expect((await call).code).toBe('PROVIDER_TIMEOUT');
    const next = expectGoodSignature(provider, 2);
    expect(faulty.get('signatures')).toBe(0);
    faulty.release();
    await next;
    expect(faulty.get('mostSigning')).toBe(1);
  });

  it('are all closed by close, after the call under way', async () => {
    const provider = await open({ sessions: 3 });
    faulty.hold();
    const call = failureOf(provider.signDigest(digestOf(1), patient));
    await signingIs(1);
    const closing = provider.close();
    expect((await call).code).toBe('PROVIDER_CLOSED');
    expect(faulty.get('openSessions')).toBe(3);
    faulty.release();
    await closing;
    expect(faulty.get('signing')).toBe(0);
    expect(faulty.get('openSessions')).toBe(0);
  });

  it('do not keep close waiting for a device that does not answer', async () => {
    const provider = await open({ sessions: 2 });
    faulty.hold();
    const call = failureOf(provider.signDigest(digestOf(1), patient));
    await signingIs(1);
    await provider.close();
    expect(faulty.get('signing')).toBe(1);
    expect((await call).code).toBe('PROVIDER_CLOSED');
    expect(log.at(-1)?.message).toContain('does not return; its session was not closed');
    expect(faulty.get('openSessions')).toBe(1);

    faulty.set('holdSigning', 0);
    await expectGoodSignature(await open());
    expect(faulty.get('signing')).toBe(1);
  });
});

describe('the public key', () => {
  it.each([
    { form: 1, what: 'without its OCTET STRING' },
    { form: 2, what: 'compressed' },
    { form: 3, what: 'in a BIT STRING' },
  ])('is read from a point $what', async ({ form }) => {
    const usual = await (await open()).getPublicKey(patient);
    faulty.set('pointForm', form);
    const provider = await open();
    expect(await provider.getPublicKey(patient)).toEqual(usual);
    await expectGoodSignature(provider);
  });
});
