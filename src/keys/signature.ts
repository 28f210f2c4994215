import { keccak256 } from '../pm/keccak256.ts';
import { Integer, Sequence } from 'asn1js';
import { type Address, addressFromBytes, bytesToUint, fromHex, uintToWord } from '../pm/bytes.ts';
import { personalMessageDigest } from '../pm/personal-message.ts';
import { readAsn1 } from './asn1.ts';
import { proveBatch } from './batch-proof.ts';
import { ProviderError, type ProviderSignature } from './provider.ts';
import { curveOrder } from './scalars.ts';
import { pointArithmetic, recoverPublicKey } from './secp256k1.ts';

const halfCurveOrder = curveOrder / 2n;

export type RS = { readonly r: bigint; readonly s: bigint };

function invalid(message: string): ProviderError {
  return new ProviderError('PROVIDER_REPLY_INVALID', message, { retryable: true });
}

const isScalar = (value: bigint): boolean => value >= 1n && value < curveOrder;

function assertInRange({ r, s }: RS): RS {
  if (!isScalar(r) || !isScalar(s)) {
    throw invalid(`the key provider's signature has ${isScalar(r) ? 's' : 'r'} outside [1, n - 1]`);
  }
  return { r, s };
}

/** DER of a positive INTEGER: minimal bytes, a zero byte before a set top bit. */
function encodeDerInteger(value: bigint): Uint8Array {
  const digits = value.toString(16);
  const hex = digits.length % 2 === 0 ? digits : `0${digits}`;
  const magnitude = Buffer.from(hex, 'hex');
  const needsZero = (magnitude[0] ?? 0) >= 0x80;
  const content = needsZero ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude;
  return Buffer.concat([Buffer.of(0x02, content.length), content]);
}

/** The one DER encoding of an ECDSA signature: SEQUENCE { INTEGER r, INTEGER s }, at most 72 bytes. */
export function encodeDerSignature({ r, s }: RS): Uint8Array {
  const body = Buffer.concat([encodeDerInteger(r), encodeDerInteger(s)]);
  return Uint8Array.from(Buffer.concat([Buffer.of(0x30, body.length), body]));
}

/** No DER signature is longer. */
const maxDerBytes = 72;

/**
 * Reads a DER signature strictly: only the one encoding that DER allows for a pair r, s in [1, n − 1] is taken.
 * Throws `PROVIDER_REPLY_INVALID`.
 */
export function parseDerSignature(bytes: Uint8Array): RS {
  const value = bytes.length > maxDerBytes ? undefined : readAsn1(bytes);
  const [first, second] = value instanceof Sequence ? value.valueBlock.value : [];
  if (!(first instanceof Integer) || !(second instanceof Integer)) {
    throw invalid("the key provider's signature is not DER: SEQUENCE of two INTEGERs expected");
  }
  const signature = assertInRange({
    r: bytesToUint(first.valueBlock.valueHexView),
    s: bytesToUint(second.valueBlock.valueHexView),
  });
  if (Buffer.compare(encodeDerSignature(signature), bytes) !== 0) {
    throw invalid("the key provider's signature is not in its one DER encoding");
  }
  return signature;
}

/**
 * Reads r ‖ s, two big-endian integers of the same width: an even number of bytes, up to 64.
 * Throws `PROVIDER_REPLY_INVALID`.
 */
export function parseRawSignature(bytes: Uint8Array): RS {
  if (bytes.length === 0 || bytes.length > 64 || bytes.length % 2 !== 0) {
    throw invalid(
      `the key provider's signature has ${bytes.length} bytes; an even number up to 64 expected`,
    );
  }
  const width = bytes.length / 2;
  return assertInRange({
    r: bytesToUint(bytes.subarray(0, width)),
    s: bytesToUint(bytes.subarray(width)),
  });
}

type Normalised = RS & {
  /** r ‖ s, low s, and room for v: 65 bytes */
  readonly bytes: Uint8Array;
  /** as the provider gave it; undefined where it does not know it */
  readonly recoveryId: 0 | 1 | undefined;
};

/** Reads a provider's signature and makes s low (EIP-2), which flips the recovery id. */
function normalise(signature: ProviderSignature): Normalised {
  const { r, s } =
    signature.encoding === 'der'
      ? parseDerSignature(signature.bytes)
      : parseRawSignature(signature.bytes);
  const isHigh = s > halfCurveOrder;
  const lowS = isHigh ? curveOrder - s : s;
  const known = signature.encoding === 'raw' ? signature.recoveryId : undefined;
  const recoveryId = known === undefined || !isHigh ? known : known === 0 ? 1 : 0;
  if (signature.bytes.length === 64 && signature.encoding === 'raw' && !isHigh) {
    const bytes = new Uint8Array(65);
    bytes.set(signature.bytes);
    return { r, s, bytes, recoveryId };
  }
  return { r, s: lowS, bytes: fromHex(`0x${uintToWord(r)}${uintToWord(lowS)}00`), recoveryId };
}

/** Finds v, 27 or 28, and writes it into the bytes. Throws `PROVIDER_REPLY_INVALID` where no v recovers the key. */
function prove(
  { bytes, recoveryId: likely = 0 }: Normalised,
  digest: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  const compact = bytes.subarray(0, 64);
  for (const recoveryId of likely === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
    const recovered = recoverPublicKey(digest, compact, recoveryId);
    if (recovered && Buffer.compare(recovered, publicKey) === 0) {
      bytes[64] = 27 + recoveryId;
      return bytes;
    }
  }
  throw invalid("the key provider's signature does not recover the pinned public key");
}

/**
 * Turns a provider's signature into Ethereum's 65 bytes r ‖ s ‖ v: low s (EIP-2), v 27 or 28, the recovery id
 * being the one that recovers `publicKey` (65-byte SEC1). When neither does, the signature is another key's or
 * over another digest, and `PROVIDER_REPLY_INVALID` is thrown.
 */
export function toEthereumSignature(
  signature: ProviderSignature,
  digest: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  return prove(normalise(signature), digest, publicKey);
}

/**
 * From this many signatures on, one proof for all of them costs less than a recovery for each: part of its cost does not depend
 * on their number.
 */
const leastForBatch = 6;

/**
 * {@link toEthereumSignature} for each digest of a batch, in its order. Where the provider knows the recovery ids they are
 * proved together, see {@link proveBatch}. Throws `PROVIDER_REPLY_INVALID`, also where there are not as many signatures as
 * digests.
 */
export function toEthereumSignatures(
  signatures: readonly ProviderSignature[],
  digests: readonly Uint8Array[],
  publicKey: Uint8Array,
): Uint8Array[] {
  if (signatures.length !== digests.length) {
    throw invalid(
      `the key provider gave ${signatures.length} signatures for ${digests.length} digests`,
    );
  }
  const batch = digests.map((digest, index) => {
    const signature = signatures[index];
    if (!signature) throw invalid('the key provider left out a signature');
    const normalised = normalise(signature);
    normalised.bytes[64] = 27 + (normalised.recoveryId ?? 0);
    return { ...normalised, digest };
  });
  const isProved =
    pointArithmetic !== undefined &&
    batch.length >= leastForBatch &&
    batch.every(({ recoveryId }) => recoveryId !== undefined) &&
    proveBatch(batch, publicKey, pointArithmetic);
  // where the batch is not proved, recovering one by one finds the wrong signature, or corrects a wrong v
  return batch.map((each) => (isProved ? each.bytes : prove(each, each.digest, publicKey)));
}

/** The Ethereum address of a 65-byte uncompressed SEC1 public key. */
export function publicKeyToAddress(publicKey: Uint8Array): Address {
  return addressFromBytes(keccak256(publicKey.subarray(1)));
}

/**
 * Whether `signature` is `address`'s over the personal message `message`, as go-livepeer's `VerifySig` has it:
 * 65 bytes, low s, v 27 or 28, recovered address equal.
 */
export function verifyPersonalSignature(
  address: Address,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verifySignature(address, personalMessageDigest(message), signature);
}

/** Whether `signature` is `address`'s over the 32-byte digest: 65 bytes, low s, v 27 or 28, recovered address equal. */
export function verifySignature(
  address: Address,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const v = signature[64];
  if (signature.length !== 65 || (v !== 27 && v !== 28)) return false;
  if (bytesToUint(signature.subarray(32, 64)) > halfCurveOrder) return false;
  const recovered = recoverPublicKey(digest, signature.subarray(0, 64), v === 27 ? 0 : 1);
  return recovered !== undefined && publicKeyToAddress(recovered) === address;
}
