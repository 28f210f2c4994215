import { expect, it } from 'vitest';
import { type KeyReport, runSafeConformance } from '../../src/keys/conformance/safe.ts';
import { openSelfTestGate } from '../../src/keys/conformance/self-test.ts';
import { publicKeyToAddress } from '../../src/keys/signature.ts';
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
  expect(checks.map(({ failure }) => failure)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(latencyMs?.signatures).toBe(10);
  expect(latencyMs?.p50).toBeGreaterThan(0);
  expect(latencyMs?.p95).toBeGreaterThanOrEqual(latencyMs?.p50 ?? Infinity);
  expect(signed).toBe(11);
});

it('tells what is wrong with a key, runs the other checks, and measures nothing', async () => {
  const { latencyMs, checks, isSound } = await report(() => ({
    signDigest: () => Promise.resolve({ encoding: 'raw', bytes: new Uint8Array(64).fill(1) }),
  }));
  expect({ latencyMs, isSound }).toEqual({ latencyMs: undefined, isSound: false });
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
