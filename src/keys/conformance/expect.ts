import { secp256k1 } from '@noble/curves/secp256k1';
import { inspect } from 'node:util';
import { type KeyProvider, ProviderError } from '../provider.ts';
import { ConformanceError } from './subject.ts';

/** No call may take longer than this, whatever happens: it is then taken for hung. */
const patienceMs = 15_000;

/** For calls that nobody aborts. */
export const unending: AbortSignal = new AbortController().signal;

/** Throws {@link ConformanceError} unless `isTrue`. */
export function expectThat(isTrue: boolean, expected: string, found: string): void {
  if (!isTrue) throw new ConformanceError(expected, found);
}

/** The result of `work`; throws {@link ConformanceError} when it does not settle in `limitMs`. */
export async function settled<Result>(
  what: string,
  work: Promise<Result>,
  limitMs = patienceMs,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const hangs = new ConformanceError(`${what} to settle in ${limitMs} ms`, 'that it hangs');
    timer = setTimeout(() => reject(hangs), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What `work` fails with, which has to be a {@link ProviderError} that tells no secret. */
export async function failureOf(
  what: string,
  work: Promise<unknown>,
  secrets: readonly string[],
  limitMs?: number,
): Promise<ProviderError> {
  const outcome = await settled(
    what,
    work.then(
      () => undefined,
      (error: unknown) => ({ error }),
    ),
    limitMs,
  );
  if (outcome === undefined) throw new ConformanceError(`${what} to fail`, 'that it succeeded');
  const { error } = outcome;
  expectNoSecret(`the error of ${what}`, error, secrets);
  if (error instanceof ProviderError) return error;
  throw new ConformanceError(`${what} to fail with a ProviderError`, inspect(error, { depth: 0 }));
}

/** Fails with this code, and marked so that it may be tried again where `retryable` says so. */
export async function expectFailure(
  what: string,
  work: Promise<unknown>,
  expected: {
    readonly code: ProviderError['code'];
    readonly retryable?: true;
    readonly secrets: readonly string[];
    readonly limitMs?: number;
  },
): Promise<void> {
  const failure = await failureOf(what, work, expected.secrets, expected.limitMs);
  expectCode(what, failure, expected.code);
  if (expected.retryable) {
    expectThat(failure.retryable, `${what} to fail as retryable`, 'retryable: false');
  }
}

/** Throws {@link ConformanceError} for any other code. */
export function expectCode(what: string, failure: ProviderError, code: string): void {
  expectThat(
    failure.code === code,
    `${what} to fail with ${code}`,
    `${failure.code}: ${failure.message}`,
  );
}

/**
 * Searches everything that printing `value` would show, causes included. Throws {@link ConformanceError} where it finds a secret.
 */
export function expectNoSecret(what: string, value: unknown, secrets: readonly string[]): void {
  const shown = inspect(value, {
    depth: Infinity,
    showHidden: true,
    maxArrayLength: null,
    maxStringLength: null,
    breakLength: Infinity,
  }).toLowerCase();
  const index = secrets.findIndex((secret) => shown.includes(secret.toLowerCase()));
  expectThat(index < 0, `${what} to tell no secret`, `the one with index ${index} in it`);
}

/** Reads the public key, which has to be a point of the curve as 65 bytes. */
export async function readPublicKey(provider: KeyProvider): Promise<Uint8Array> {
  const publicKey = await settled('getPublicKey', provider.getPublicKey({ signal: unending }));
  expectThat(
    publicKey instanceof Uint8Array && publicKey.length === 65 && publicKey[0] === 0x04,
    'a public key of 65 bytes that start with 0x04',
    inspect(publicKey),
  );
  try {
    secp256k1.ProjectivePoint.fromHex(publicKey).assertValidity();
  } catch {
    throw new ConformanceError('a public key on secp256k1', toText(publicKey));
  }
  return publicKey;
}

/**
 * r ‖ s ‖ v of 65 bytes, low s, v 27 or 28, by `publicKey` over `digest`: checked with another library than the one that
 * the gate takes.
 */
export function expectEthereumSignature(
  signature: Uint8Array | undefined,
  digest: Uint8Array,
  publicKey: Uint8Array,
): void {
  const v = signature?.[64];
  if (signature?.length !== 65 || (v !== 27 && v !== 28)) {
    throw new ConformanceError('a signature of 65 bytes with v 27 or 28', inspect(signature));
  }
  const parsed = secp256k1.Signature.fromCompact(signature.subarray(0, 64)).addRecoveryBit(v - 27);
  expectThat(!parsed.hasHighS(), 'a low s', toText(signature));
  const recovered = parsed.recoverPublicKey(digest).toRawBytes(false);
  expectThat(
    toText(recovered) === toText(publicKey),
    `a signature over ${toText(digest)} that recovers the key ${toText(publicKey)}`,
    `that it recovers ${toText(recovered)}`,
  );
}

/** Bytes in hex. */
export function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
