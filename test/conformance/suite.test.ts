import { keccak_256 } from '@noble/hashes/sha3';
import { secp256k1 } from '@noble/curves/secp256k1';
import { expect, it } from 'vitest';
import { conformanceCases } from '../../src/keys/conformance/cases.ts';
import { ProviderError, type ProviderSignature } from '../../src/keys/provider.ts';
import {
  createMemorySubject,
  type Defect,
  failureOfCase,
  inBatches,
  secret,
} from './memory-key.ts';
import { testConformance } from './run-cases.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('other keys');

testConformance('a key in memory', createMemorySubject());

const oneAtOnce = createMemorySubject(() => ({ concurrency: 1 }));
testConformance('a key that takes one call at once', {
  open: () => oneAtOnce.open(),
  secrets: oneAtOnce.secrets,
});

const batches = createMemorySubject(inBatches);
testConformance('a key that signs batches', batches);

it('says which cases are safe for a key in service and where each causes its fault', () => {
  const cases = conformanceCases(createMemorySubject());
  expect(cases.filter(({ safe }) => safe).map(({ name }) => name)).toEqual([
    'gives its public key as 65 bytes on the curve, the same each time',
    'names itself in one line and takes at least one call at once',
    'is healthy and describes its key, where it offers that',
    'signs the self-test through the gate',
  ]);
  expect(cases.filter(({ faultAt }) => faultAt === 'device').map(({ name }) => name)).toEqual([
    'ends a call that hangs at its deadline (fault at the device)',
    'ends a cancelled call at once (fault at the device)',
    'tells of throttling as such, to be tried again (fault at the device)',
    'ends the calls under way when it is closed (fault at the device)',
  ]);
  expect(cases.filter(({ faultAt }) => faultAt === 'port')).toHaveLength(5);
});

const never = { signal: new AbortController().signal };

const defects: readonly {
  readonly provider: string;
  readonly defect: Defect;
  readonly failing: string;
  readonly message: RegExp;
}[] = [
  {
    provider: 'gives the public key without its first byte',
    defect: (key) => ({
      getPublicKey: async (options) => (await key.getPublicKey(options)).subarray(1),
    }),
    failing: 'gives its public key as 65 bytes',
    message: /^expected a public key of 65 bytes that start with 0x04; found Uint8Array\(64\)/,
  },
  {
    provider: 'gives a public key that is not on the curve',
    defect: () => ({ getPublicKey: () => Promise.resolve(new Uint8Array(65).fill(4)) }),
    failing: 'gives its public key as 65 bytes',
    message: /^expected a public key on secp256k1; found 0404/,
  },
  {
    provider: 'has another key each time it is opened',
    defect: () => {
      const publicKey = secp256k1.getPublicKey(random.privateKey(), false);
      return { getPublicKey: () => Promise.resolve(publicKey) };
    },
    failing: 'gives the same public key when it is opened again',
    message: /^expected 04[0-9a-f]{128}; found 04[0-9a-f]{128}$/,
  },
  {
    provider: 'takes no call at all',
    defect: () => ({ concurrency: 0 }),
    failing: 'names itself in one line',
    message: /^expected a whole concurrency of at least 1; found 0$/,
  },
  {
    provider: 'has a name of two lines',
    defect: () => ({ keyRef: 'memory:\nkey' }),
    failing: 'names itself in one line',
    message: /^expected a keyRef in one line; found "memory:\\nkey"$/,
  },
  {
    provider: 'has attributes that are no text',
    defect: () => ({ describeKey: () => Promise.resolve({ bits: 256 as unknown as string }) }),
    failing: 'is healthy and describes its key',
    message: /^expected text for the attribute bits; found number$/,
  },
  {
    provider: 'hashes what it is to sign',
    defect: (key) => ({
      signDigest: (digest, options) => key.signDigest(keccak_256(digest), options),
    }),
    failing: 'signs known digests as they are',
    message: /does not recover the pinned public key/,
  },
  {
    provider: 'overwrites the digest that it is given',
    defect: (key) => ({
      signDigest: async (digest, options) => {
        const reply = await key.signDigest(digest, options);
        digest.fill(0);
        return reply;
      },
    }),
    failing: 'signs known digests as they are',
    message: /; found 0{64}$/,
  },
  {
    provider: 'says DER of what is r and s one after the other',
    defect: (key) => ({
      signDigest: async (digest, options) => ({
        encoding: 'der',
        bytes: (await key.signDigest(digest, options)).bytes,
      }),
    }),
    failing: 'signs the self-test through the gate',
    message: /DER/,
  },
  {
    provider: 'mixes up the replies to calls made at once',
    defect: (key) => {
      let last: Promise<ProviderSignature> | undefined;
      let underWay = 0;
      return {
        signDigest: async (digest, options) => {
          underWay += 1;
          if (underWay === 1 || !last) last = key.signDigest(digest, options);
          try {
            return await last;
          } finally {
            underWay -= 1;
          }
        },
      };
    },
    failing: 'signs 100 digests at once',
    message: /does not recover the pinned public key/,
  },
  {
    provider: 'does not look at the signal of a call that hangs',
    defect: (key) => ({ signDigest: (digest) => key.signDigest(digest, never) }),
    failing: 'ends a call that hangs at its deadline',
    message: /^expected the provider's own signDigest to settle in 900 ms; found that it hangs$/,
  },
  {
    provider: 'does not look at the signal of a call that is cancelled',
    defect: (key) => ({ signDigest: (digest) => key.signDigest(digest, never) }),
    failing: 'ends a cancelled call at once',
    message: /^expected the provider's own signDigest to settle in 900 ms; found that it hangs$/,
  },
  {
    provider: 'does not tell a deadline from a client that hung up',
    defect: (key) => ({
      signDigest: (digest, { signal }) => {
        const ended = new AbortController();
        if (signal.aborted) ended.abort();
        signal.addEventListener('abort', () => ended.abort());
        return key.signDigest(digest, { signal: ended.signal });
      },
    }),
    failing: 'ends a call that hangs at its deadline',
    message:
      /^expected the provider's own signDigest to fail with PROVIDER_TIMEOUT; found REQUEST_ABORTED/,
  },
  {
    provider: 'makes calls that were cancelled before',
    defect: (key) => ({ signDigest: (digest) => key.signDigest(digest, never) }),
    failing: 'refuses a call that was cancelled before it was made',
    message: /^expected signDigest to fail; found that it succeeded$/,
  },
  {
    provider: 'serves no call after a failed one',
    defect: (key) => {
      let hasFailed = false;
      return {
        signDigest: async (digest, options) => {
          if (hasFailed) throw new ProviderError('PROVIDER_UNAVAILABLE', 'has had enough');
          try {
            return await key.signDigest(digest, options);
          } catch (error) {
            hasFailed = true;
            throw error;
          }
        },
      };
    },
    failing: 'tells of throttling as such',
    message: /^has had enough$/,
  },
  {
    provider: 'takes throttling for the end',
    defect: (key, device) => ({
      signDigest: (digest, options) => {
        if (!device.isThrottling) return key.signDigest(digest, options);
        throw new ProviderError('PROVIDER_THROTTLED', 'never again');
      },
    }),
    failing: 'tells of throttling as such',
    message: /^expected the call to fail as retryable; found retryable: false$/,
  },
  {
    provider: "passes on its vendor's errors",
    defect: (key, device) => ({
      signDigest: (digest, options) =>
        device.isThrottling
          ? Promise.reject(new Error('HTTP 429'))
          : key.signDigest(digest, options),
    }),
    failing: 'tells of throttling as such',
    message: /^expected the call to fail with a ProviderError; found .*HTTP 429/s,
  },
  {
    provider: 'still signs when it is closed',
    defect: () => ({ close: () => Promise.resolve() }),
    failing: 'refuses every call once it is closed',
    message: /^expected signDigest to fail; found that it succeeded$/,
  },
  {
    provider: 'still gives its public key when it is closed',
    defect: () => ({ getPublicKey: () => Promise.resolve(new Uint8Array(65)) }),
    failing: 'refuses every call once it is closed',
    message: /^expected getPublicKey to fail; found that it succeeded$/,
  },
  {
    provider: 'says that it is unavailable when it is closed',
    defect: (key) => {
      let isClosed = false;
      return {
        close: () => {
          isClosed = true;
          return key.close();
        },
        signDigest: async (digest, options) => {
          try {
            return await key.signDigest(digest, options);
          } catch (error) {
            throw isClosed ? new ProviderError('PROVIDER_UNAVAILABLE', 'gone') : error;
          }
        },
      };
    },
    failing: 'ends the calls under way when it is closed',
    message: /^expected call \d+ to fail with PROVIDER_CLOSED; found PROVIDER_UNAVAILABLE: gone$/,
  },
  {
    provider: 'can be closed once only',
    defect: (key) => {
      let isClosed = false;
      return {
        close: () => {
          if (isClosed) return Promise.reject(new Error('no such handle'));
          isClosed = true;
          return key.close();
        },
      };
    },
    failing: 'can be closed twice',
    message: /^no such handle$/,
  },
  {
    provider: 'has its secret in its name',
    defect: () => ({ keyRef: `memory:${secret}` }),
    failing: 'tells no secret',
    message: /^expected keyRef to tell no secret; found the one with index 0 in it$/,
  },
  {
    provider: 'has its secret in its attributes',
    defect: () => ({ describeKey: () => Promise.resolve({ pin: secret.toUpperCase() }) }),
    failing: 'tells no secret',
    message: /^expected the attributes to tell no secret; found the one with index 0 in it$/,
  },
  {
    provider: 'signs a batch in another order',
    defect: (key, device) => ({
      signDigests: async (digests, options) =>
        (await inBatches(key, device).signDigests?.(digests.toReversed(), options)) ?? [],
    }),
    failing: 'signs batches of known digests',
    message: /does not recover the pinned public key/,
  },
  {
    provider: 'leaves the last signature of a batch out',
    defect: (key, device) => ({
      signDigests: async (digests, options) =>
        (await inBatches(key, device).signDigests?.(digests.slice(1), options)) ?? [],
    }),
    failing: 'signs batches of known digests',
    message: /^expected 1 signatures; found 0$/,
  },
  {
    provider: 'signs batches when it is closed',
    defect: () => ({ signDigests: () => Promise.resolve([]) }),
    failing: 'refuses every call once it is closed',
    message: /^expected signDigests to fail; found that it succeeded$/,
  },
  {
    provider: 'has its secret in the cause of an error',
    defect: (key) => ({
      signDigest: async (digest, options) => {
        try {
          return await key.signDigest(digest, options);
        } catch {
          const cause = new Error('HTTP 401', { cause: { request: { headers: [secret] } } });
          throw new ProviderError('PROVIDER_CLOSED', 'closed', { cause });
        }
      },
    }),
    failing: 'ends the calls under way when it is closed',
    message: /^expected the error of call \d+ to tell no secret; found the one with index 0 in it$/,
  },
];

it.each(defects)('finds a provider that $provider', async ({ defect, failing, message }) => {
  expect(await failureOfCase(failing, defect)).toMatch(message);
});
