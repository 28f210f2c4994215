import type { Address } from '../../pm/bytes.ts';
import { isSignerError } from '../../errors.ts';
import type { CallOptions, KeyProvider } from '../provider.ts';
import { publicKeyToAddress } from '../signature.ts';
import {
  expectEthereumSignature,
  expectThat,
  readPublicKey,
  settled,
  toText,
  unending,
} from './expect.ts';
import { selfTestDigest } from './self-test.ts';
import { ConformanceError } from './subject.ts';

/** An opened key, which may be in service. */
export type SafeSubject = {
  readonly provider: KeyProvider;
  /** The pinned address. */
  readonly address: Address;
  /** Signs the self-test of `address` with policy's grant, through the gate: r ‖ s ‖ v, 65 bytes. */
  readonly signSelfTest: (options: CallOptions) => Promise<Uint8Array>;
};

export type SafeCheck = {
  readonly name: string;
  /** Throws {@link ConformanceError}, and what the provider throws. */
  readonly check: (subject: SafeSubject) => Promise<void>;
};

/** Checks that are safe for a key in service: nothing is signed but the self-test, and the provider stays open. */
export const safeChecks: readonly SafeCheck[] = [
  {
    name: 'gives its public key as 65 bytes on the curve, the same each time',
    check: async ({ provider, address }) => {
      const publicKey = await readPublicKey(provider);
      const again = await readPublicKey(provider);
      expectThat(toText(again) === toText(publicKey), toText(publicKey), toText(again));
      const found = publicKeyToAddress(publicKey);
      expectThat(found === address, `the key of ${address}`, `the one of ${found}`);
    },
  },
  {
    name: 'names itself in one line and takes at least one call at once',
    check: ({ provider }) => {
      const { keyRef, concurrency } = provider;
      expectThat(/^\P{Cc}+$/u.test(keyRef), 'a keyRef in one line', JSON.stringify(keyRef));
      expectThat(
        Number.isInteger(concurrency) && concurrency >= 1,
        'a whole concurrency of at least 1',
        String(concurrency),
      );
      return Promise.resolve();
    },
  },
  {
    name: 'is healthy and describes its key, where it offers that',
    check: async ({ provider }) => {
      const options = { signal: unending };
      await settled('checkHealth', provider.checkHealth?.(options) ?? Promise.resolve());
      const attributes = await settled(
        'describeKey',
        provider.describeKey?.(options) ?? Promise.resolve({}),
      );
      for (const [name, value] of Object.entries(attributes)) {
        expectThat(typeof value === 'string', `text for the attribute ${name}`, typeof value);
      }
    },
  },
  {
    name: 'signs the self-test through the gate',
    check: async ({ provider, address, signSelfTest }) => {
      const signature = await settled('the self-test', signSelfTest({ signal: unending }));
      expectEthereumSignature(signature, selfTestDigest(address), await readPublicKey(provider));
    },
  },
];

/** What `keys check` tells of a key. */
export type KeyReport = {
  readonly keyRef: string;
  readonly address: Address;
  /** What the provider tells of the key. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly checks: readonly {
    readonly name: string;
    /** In words for the operator; undefined when the check has passed. */
    readonly failure: string | undefined;
  }[];
  /** Milliseconds for one self-test, one after the other; undefined when a check has failed. */
  readonly latencyMs:
    { readonly p50: number; readonly p95: number; readonly signatures: number } | undefined;
  /** Whether all checks have passed. */
  readonly isSound: boolean;
};

/**
 * Runs the safe part of the conformance suite on an opened key and measures `signatures` self-tests. What a check throws
 * is in the report; a self-test that fails while it is measured is thrown.
 */
export async function runSafeConformance(
  subject: SafeSubject,
  signatures = 20,
): Promise<KeyReport> {
  const { provider, address } = subject;
  const checks = [];
  for (const { name, check } of safeChecks) {
    checks.push({ name, failure: await failureText(() => check(subject)) });
  }
  const isSound = checks.every(({ failure }) => failure === undefined);
  return {
    keyRef: provider.keyRef,
    address,
    attributes: isSound ? ((await provider.describeKey?.({ signal: unending })) ?? {}) : {},
    checks,
    latencyMs: isSound ? await measure(subject, signatures) : undefined,
    isSound,
  };
}

async function measure({ signSelfTest }: SafeSubject, signatures: number) {
  const durationsMs: number[] = [];
  for (let count = 0; count < signatures; count += 1) {
    const startedAtMs = performance.now();
    await settled('the self-test', signSelfTest({ signal: unending }));
    durationsMs.push(performance.now() - startedAtMs);
  }
  durationsMs.sort((one, other) => one - other);
  return { p50: percentile(durationsMs, 50), p95: percentile(durationsMs, 95), signatures };
}

/** By nearest rank, of ascending values. */
function percentile(ascending: readonly number[], percent: number): number {
  return ascending[Math.ceil((ascending.length * percent) / 100) - 1] ?? NaN;
}

async function failureText(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (isSignerError(error)) return `${error.message} [${error.code}]`;
    if (error instanceof ConformanceError) return error.message;
    // its message is the vendor's, and may hold a secret
    return `failed with ${error instanceof Error ? error.name : typeof error}, which is no ProviderError`;
  }
}
