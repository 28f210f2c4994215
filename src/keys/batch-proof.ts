import { randomFillSync } from 'node:crypto';
import { bytesToUint, uintToBytes32 } from '../pm/bytes.ts';
import { curveOrder, invertScalars } from './scalars.ts';
import type { PointArithmetic } from './secp256k1.ts';

/** A signature whose v is claimed, and what it is said to sign. */
export type ClaimedSignature = {
  readonly r: bigint;
  readonly s: bigint;
  /** r ‖ s ‖ v of 65 bytes; v 27 or 28 */
  readonly bytes: Uint8Array;
  /** 32 bytes */
  readonly digest: Uint8Array;
};

/**
 * Bytes of a random factor. A batch with several wrong signatures passes with a probability of 2^-32; a batch with a single wrong
 * one never passes.
 */
const factorBytes = 4;

/**
 * Whether all signatures of a batch are the key's over their digests, and all their v are right. `publicKey` is its 65-byte SEC1
 * point; r and s are in [1, n − 1].
 *
 * A signature names the point R that its nonce made: r is its x, and v says which y. The signature is the key's where R = (z/s)·G
 * + (r/s)·P. Each equation is multiplied by a random 32-bit number that nobody could know when the signatures were made, and then
 * all are added up. So several wrong signatures can't cancel each other out by design, and a single wrong one can't be cancelled
 * out at all. For each signature this multiplies one point by a short number, which costs less than half a recovery; the
 * right-hand side is a single sum.
 */
export function proveBatch(
  signatures: readonly ClaimedSignature[],
  publicKey: Uint8Array,
  { multiply, addMultipleOfGenerator, sum }: PointArithmetic,
): boolean {
  const inverses = invertScalars(signatures.map(({ s }) => s));
  const factors = randomFillSync(new Uint8Array(factorBytes * signatures.length));
  let multipleOfG = 0n;
  let multipleOfP = 0n;
  const points = signatures.map(({ r, bytes, digest }, index) => {
    const factor = factors.subarray(factorBytes * index, factorBytes * (index + 1));
    const weight = (bytesToUint(factor) * (inverses[index] ?? 0n)) % curveOrder;
    multipleOfG += weight * bytesToUint(digest);
    multipleOfP += weight * r;
    const point = new Uint8Array(33);
    point[0] = bytes[64] === 28 ? 3 : 2;
    point.set(bytes.subarray(0, 32), 1);
    const scalar = new Uint8Array(32);
    scalar.set(factor, 32 - factorBytes);
    return multiply(point, scalar);
  });
  const left = sum(points);
  const right = addMultipleOfGenerator(
    multiply(publicKey, uintToBytes32(multipleOfP % curveOrder)),
    uintToBytes32(multipleOfG % curveOrder),
  );
  return left !== undefined && right !== undefined && Buffer.compare(left, right) === 0;
}
