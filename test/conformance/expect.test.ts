import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import {
  expectEthereumSignature,
  expectFailure,
  expectNoSecret,
  readPublicKey,
} from '../../src/keys/conformance/expect.ts';
import { type KeyProvider, ProviderError } from '../../src/keys/provider.ts';

const privateKey = new Uint8Array(32).fill(7);
const publicKey = secp256k1.getPublicKey(privateKey, false);
const otherKey = secp256k1.getPublicKey(new Uint8Array(32).fill(8), false);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What the suite says of what `work` finds; undefined for nothing. */
function found(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('a secret is found', () => {
  const secret = 'The Secret';
  const isFound = (value: unknown, secrets = ['another', secret]): boolean => {
    const says = found(() => expectNoSecret('it', value, secrets));
    if (says !== undefined) {
      expect(says).toBe('expected it to tell no secret; found the one with index 1 in it');
    }
    return says !== undefined;
  };

  it.each([
    ['in a text', `x ${secret} y`],
    ['in other letters', secret.toLowerCase()],
    ['in capitals', secret.toUpperCase()],
    ['as a key', { [secret]: 1 }],
    ['far down', { a: { b: { c: { d: { e: [secret] } } } } }],
    ['behind a hundred others', [...new Array<string>(150).fill('x'), secret]],
    ['behind ten thousand letters', `${'x'.repeat(20_000)} ${secret}`],
    ['in a cause of a cause', new Error('a', { cause: new Error('b', { cause: [secret] }) })],
    ['where it is not enumerable', Object.defineProperty({}, 'pin', { value: secret })],
  ])('%s', (_, value) => {
    expect(isFound(value)).toBe(true);
  });

  it.each([[''], ['another word'], ['the secre'], [{ the: 'secret' }], [undefined]])(
    'and not in %j',
    (value) => {
      expect(isFound(value, ['nowhere', secret])).toBe(false);
    },
  );

  it('that is the first of those that are looked for', () => {
    expect(found(() => expectNoSecret('it', 'a secret', ['secret', 'b']))).toBe(
      'expected it to tell no secret; found the one with index 0 in it',
    );
  });
});

describe('a failure', () => {
  const expected = { code: 'PROVIDER_TIMEOUT', retryable: true, secrets: ['hunter2'] } as const;
  const says = (work: Promise<unknown>, more: object = {}): Promise<string | undefined> =>
    expectFailure('it', work, { ...expected, ...more }).then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
  const late = (retryable: boolean) =>
    Promise.reject(new ProviderError('PROVIDER_TIMEOUT', 'late', { retryable }));

  it('is taken with its code, and where it may be tried again is marked so', async () => {
    expect(await says(late(true))).toBeUndefined();
    expect(await says(late(false))).toBe(
      'expected it to fail as retryable; found retryable: false',
    );
    expect(await says(late(false), { retryable: undefined })).toBeUndefined();
    expect(await says(late(true), { retryable: undefined })).toBeUndefined();
  });

  it('with another code, of another class, with a secret, or none at all is found', async () => {
    expect(await says(Promise.reject(new ProviderError('PROVIDER_CLOSED', 'gone')))).toBe(
      'expected it to fail with PROVIDER_TIMEOUT; found PROVIDER_CLOSED: gone',
    );
    expect(await says(Promise.resolve(7))).toBe('expected it to fail; found that it succeeded');
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what a careless provider does
    expect(await says(Promise.reject({ status: { code: 429 } }))).toBe(
      'expected it to fail with a ProviderError; found { status: [Object] }',
    );
    expect(await says(Promise.reject(new ProviderError('PROVIDER_TIMEOUT', 'hunter2')))).toBe(
      'expected the error of it to tell no secret; found the one with index 0 in it',
    );
  });

  it('that does not come in its time is found', async () => {
    const never = new Promise<never>(() => undefined);
    expect(await says(never, { limitMs: 10 })).toBe(
      'expected it to settle in 10 ms; found that it hangs',
    );
  });
});

describe('a public key', () => {
  const read = (key: unknown): Promise<string> =>
    readPublicKey({
      getPublicKey: () => Promise.resolve(key),
    } as Partial<KeyProvider> as KeyProvider).then(
      text,
      (error: unknown) => (error as Error).message,
    );
  const start = 'expected a public key of 65 bytes that start with 0x04; found ';
  const withByte = (index: number, byte: number): Uint8Array => {
    const changed = publicKey.slice();
    changed[index] = byte;
    return changed;
  };

  it('is read', async () => {
    expect(await read(publicKey)).toBe(text(publicKey));
  });

  it.each([
    ['a list of numbers', [...publicKey], /^\[\n? *4,/],
    ['64 bytes', publicKey.subarray(1), /^Uint8Array\(64\)/],
    ['66 bytes', Uint8Array.of(...publicKey, 0), /^Uint8Array\(66\)/],
    ['33 bytes', secp256k1.getPublicKey(privateKey, true), /^Uint8Array\(33\)/],
    ['another first byte', withByte(0, 5), /^Uint8Array\(65\)/],
    ['nothing', undefined, /^undefined$/],
  ])('is none where it is %s', async (_, key, shown) => {
    const says = await read(key);
    expect(says.startsWith(start)).toBe(true);
    expect(says.slice(start.length)).toMatch(shown);
  });

  it('is none where it is not on the curve', async () => {
    const off = withByte(64, (publicKey[64] ?? 0) ^ 1);
    expect(await read(off)).toBe(`expected a public key on secp256k1; found ${text(off)}`);
  });
});

describe('a signature', () => {
  const signed = [1, 2, 3, 4, 5, 6, 7, 8].map((byte) => {
    const digest = new Uint8Array(32).fill(byte);
    const signature = secp256k1.sign(digest, privateKey);
    const bytes = Uint8Array.of(...signature.toCompactRawBytes(), 27 + signature.recovery);
    return { digest, signature, bytes };
  });
  const [{ digest, signature, bytes } = expect.unreachable()] = signed;
  const says = (checked: Uint8Array | undefined, key = publicKey, over = digest) =>
    found(() => expectEthereumSignature(checked, over, key));

  it('is taken with either v', () => {
    expect(new Set(signed.map((one) => one.bytes[64]))).toEqual(new Set([27, 28]));
    for (const one of signed) expect(says(one.bytes, publicKey, one.digest)).toBeUndefined();
  });

  it.each([
    ['is missing', undefined],
    ['has 64 bytes', bytes.subarray(0, 64)],
    ['has 66 bytes', Uint8Array.of(...bytes, 0)],
    ['has v 26', Uint8Array.of(...bytes.subarray(0, 64), 26)],
    ['has v 29', Uint8Array.of(...bytes.subarray(0, 64), 29)],
    ['has v 0', Uint8Array.of(...bytes.subarray(0, 64), 0)],
  ])('is none where it %s', (_, checked) => {
    expect(says(checked)).toMatch(/^expected a signature of 65 bytes with v 27 or 28; found /);
  });

  it('is none with a high s, by another key, or over another digest', () => {
    const { r, s } = signature;
    const high = new secp256k1.Signature(r, secp256k1.CURVE.n - s).toCompactRawBytes();
    const twin = Uint8Array.of(...high, bytes[64] === 27 ? 28 : 27);
    expect(says(twin)).toBe(`expected a low s; found ${text(twin)}`);
    expect(says(bytes, otherKey)).toBe(
      `expected a signature over ${text(digest)} that recovers the key ${text(otherKey)}; ` +
        `found that it recovers ${text(publicKey)}`,
    );
    expect(says(bytes, publicKey, new Uint8Array(32).fill(9))).toMatch(
      new RegExp(`^expected a signature over (09){32} that recovers the key ${text(publicKey)}; `),
    );
  });
});
