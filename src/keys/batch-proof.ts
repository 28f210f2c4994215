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

/** Of a random factor; a batch with several wrong signatures is taken with a probability of 2^-32, one with a single one never. */
const factorBytes = 4;

/**
 * Whether all signatures of a batch are the key's over their digests, and all their v are right. `publicKey` is its 65-byte
 * SEC1 point, r and s are in [1, n − 1].
 *
 * A signature names the point R that its nonce made: r is the x of it, v says which y. It is the key's where
 * R = (z/s)·G + (r/s)·P. The equations are added up, each times a random number of 32 bits that nobody could know when the
 * signatures were made, so that wrong ones can't make up for each other. A single wrong one can't be made up for at all. A point
 * for each signature is then multiplied by a short number, which costs less than half a recovery, and the right side is one sum
 * for all.
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
