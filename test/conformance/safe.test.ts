import { afterEach, describe, expect, it, vi } from 'vitest';
import { type KeyReport, runSafeConformance } from '../../src/keys/conformance/safe.ts';
import { openSelfTestGate } from '../../src/keys/conformance/self-test.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { publicKeyToAddress } from '../../src/keys/signature.ts';
import type { Address } from '../../src/pm/bytes.ts';
import { createMemorySubject, type Defect } from './memory-key.ts';

async function report(defect?: Defect): Promise<KeyReport & { readonly signed: number }> {
  let signed = 0;
  const provider = await createMemorySubject((key, device) => ({
    signDigest: (digest, options) => {
      signed += 1;
      return key.signDigest(digest, options);
    },
    ...defect?.(key, device),
  })).open();
  const gate = await openSelfTestGate(provider);
  const address = publicKeyToAddress(gate.publicKey);
  const found = await runSafeConformance(
    { provider, address, signSelfTest: ({ signal }) => gate.sign(address, signal) },
    10,
  );
  return { ...found, signed };
}

it('finds a conforming key sound, and measures it', async () => {
  const { latencyMs, checks, signed, ...found } = await report();
  expect(found).toEqual({
    keyRef: 'memory:key',
    address: expect.stringMatching(/^0x[0-9a-f]{40}$/) as string,
    attributes: { storage: 'memory' },
    isSound: true,
  });
  expect(checks).toEqual(
    [
      'gives its public key as 65 bytes on the curve, the same each time',
      'names itself in one line and takes at least one call at once',
      'is healthy and describes its key, where it offers that',
      'signs the self-test through the gate',
    ].map((name) => ({ name, failure: undefined })),
  );
  expect(latencyMs?.signatures).toBe(10);
  expect(latencyMs?.p50).toBeGreaterThan(0);
  expect(latencyMs?.p95).toBeGreaterThanOrEqual(latencyMs?.p50 ?? Infinity);
  expect(signed).toBe(11);
});

it('tells what is wrong with a key, runs the other checks, and measures nothing', async () => {
  const { latencyMs, checks, isSound, attributes } = await report(() => ({
    signDigest: () => Promise.resolve({ encoding: 'raw', bytes: new Uint8Array(64).fill(1) }),
  }));
  expect({ latencyMs, isSound, attributes }).toEqual({
    latencyMs: undefined,
    isSound: false,
    attributes: {},
  });
  expect(checks.map(({ failure }) => failure)).toEqual([
    undefined,
    undefined,
    undefined,
    "the key provider's signature does not recover the pinned public key [PROVIDER_REPLY_INVALID]",
  ]);
});

it('names the class of an error that is no ProviderError, and not its text', async () => {
  const { checks } = await report(() => ({
    describeKey: () => Promise.reject(new TypeError('request with token hunter2 failed')),
  }));
  expect(checks[2]?.failure).toBe('failed with TypeError, which is no ProviderError');
});

/** Why the check in this place fails. */
async function failureOf(place: number, defect: Defect): Promise<string | undefined> {
  const { checks, isSound } = await report(defect);
  expect(isSound).toBe(false);
  expect(checks.flatMap(({ failure }, index) => (failure === undefined ? [] : [index]))).toEqual([
    place,
  ]);
  return checks[place]?.failure;
}

it('finds a key that is not the same each time, or not the pinned one', async () => {
  const provider = await createMemorySubject().open();
  const other = await createMemorySubject().open();
  const never = { signal: new AbortController().signal };
  const [own, others] = [await provider.getPublicKey(never), await other.getPublicKey(never)];
  const address = publicKeyToAddress(own);
  const signSelfTest = () => Promise.reject(new Error('nobody asks'));
  const firstFailure = async (keys: readonly Uint8Array[], pinned: Address) => {
    let reads = 0;
    const getPublicKey = () => Promise.resolve(keys[reads++ % keys.length] ?? own);
    const subject = { provider: { ...provider, getPublicKey }, address: pinned, signSelfTest };
    return (await runSafeConformance(subject)).checks[0]?.failure;
  };
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  expect(await firstFailure([own], address)).toBeUndefined();
  expect(await firstFailure([own, others], address)).toBe(
    `expected ${hex(own)}; found ${hex(others)}`,
  );
  expect(await firstFailure([others], address)).toBe(
    `expected the key of ${address}; found the one of ${publicKeyToAddress(others)}`,
  );
});

it.each([1.5, 0, -1, NaN, Infinity])(
  'finds a key that takes %d calls at once',
  async (concurrency) => {
    const provider = await createMemorySubject().open();
    const address = publicKeyToAddress(
      await provider.getPublicKey({ signal: new AbortController().signal }),
    );
    const signSelfTest = () => Promise.reject(new Error('nobody asks'));
    const subject = { provider: { ...provider, concurrency }, address, signSelfTest };
    expect((await runSafeConformance(subject)).checks[1]?.failure).toBe(
      `expected a whole concurrency of at least 1; found ${concurrency}`,
    );
  },
);

it('asks a key after its health where it tells that', async () => {
  const ill = new ProviderError('PROVIDER_UNAVAILABLE', 'the token is gone');
  expect(await failureOf(2, () => ({ checkHealth: () => Promise.reject(ill) }))).toBe(
    'the token is gone [PROVIDER_UNAVAILABLE]',
  );
  let asked = 0;
  const { isSound } = await report(() => ({
    checkHealth: ({ signal }) => {
      asked += signal.aborted ? 0 : 1;
      return Promise.resolve();
    },
  }));
  expect([isSound, asked]).toEqual([true, 1]);
});

it('tells what was thrown that is no error at all', async () => {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what a careless provider does
  expect(await failureOf(2, () => ({ describeKey: () => Promise.reject('token hunter2') }))).toBe(
    'failed with string, which is no ProviderError',
  );
});

it('finds a self-test that recovers another key', async () => {
  const provider = await createMemorySubject().open();
  const other = await createMemorySubject().open();
  const never = { signal: new AbortController().signal };
  const address = publicKeyToAddress(await provider.getPublicKey(never));
  const gate = await openSelfTestGate(other);
  const { checks } = await runSafeConformance({
    provider,
    address,
    signSelfTest: ({ signal }) => gate.sign(address, signal),
  });
  expect(checks[3]?.failure).toMatch(
    /^expected a signature over [0-9a-f]{64} that recovers the key /,
  );
});

describe('the time that a self-test takes', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A report on a sound key whose self-tests take these times, after that of the check. */
  async function measured(durationsMs: readonly number[], signatures?: number) {
    const provider = await createMemorySubject().open();
    const gate = await openSelfTestGate(provider);
    const address = publicKeyToAddress(gate.publicKey);
    const signature = await gate.sign(address);
    vi.useFakeTimers({ toFake: ['performance'] });
    const left = [7, ...durationsMs];
    const found = await runSafeConformance(
      {
        provider: {
          keyRef: provider.keyRef,
          concurrency: provider.concurrency,
          getPublicKey: (options) => provider.getPublicKey(options),
          signDigest: () => Promise.reject(new Error('nobody asks')),
          close: () => provider.close(),
        },
        address,
        signSelfTest: () => {
          vi.advanceTimersByTime(left.shift() ?? 1);
          return Promise.resolve(signature);
        },
      },
      signatures,
    );
    expect(found).toMatchObject({ isSound: true, attributes: {} });
    return { ...found.latencyMs, left: left.length };
  }

  it('is its median and 95th percentile, by nearest rank', async () => {
    // 1 to 101, out of order
    const durationsMs = Array.from({ length: 101 }, (_, index) => ((index * 37) % 101) + 1);
    expect(await measured(durationsMs, 101)).toEqual({
      p50: 51,
      p95: 96,
      signatures: 101,
      left: 0,
    });
  });

  it('is that of one alone where one is asked for, and of 20 unless told', async () => {
    expect(await measured([30], 1)).toEqual({ p50: 30, p95: 30, signatures: 1, left: 0 });
    vi.useRealTimers();
    const durationsMs = Array.from({ length: 25 }, (_, index) => index + 1);
    expect(await measured(durationsMs)).toEqual({ p50: 10, p95: 19, signatures: 20, left: 5 });
  });
});
