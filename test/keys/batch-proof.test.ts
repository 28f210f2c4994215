import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { proveBatch } from '../../src/keys/batch-proof.ts';
import type { ProviderSignature } from '../../src/keys/provider.ts';
import { curveOrder, invertScalars } from '../../src/keys/scalars.ts';
import { loadNativePointArithmetic, recoverPublicKey } from '../../src/keys/secp256k1.ts';
import { toEthereumSignatures } from '../../src/keys/signature.ts';
import { bytesToUint, uintToBytes32 } from '../../src/pm/bytes.ts';
import { fc } from '../support/fast-check.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('batches of signatures');
const points = loadNativePointArithmetic();

const privateKey = random.privateKey();
const publicKey = secp256k1.getPublicKey(privateKey, false);

type Claim = { r: bigint; s: bigint; bytes: Uint8Array; digest: Uint8Array };

/** Signed by the other library than the one that proves. */
function signed(digest: Uint8Array, key = privateKey): Claim {
  const { r, s, recovery } = secp256k1.sign(digest, key, { lowS: true });
  const v = Uint8Array.of(27 + recovery);
  const bytes = Uint8Array.from(Buffer.concat([uintToBytes32(r), uintToBytes32(s), v]));
  return { r, s, bytes, digest };
}

const batchOf = (count: number): Claim[] =>
  Array.from({ length: count }, () => signed(random.bytes(32)));

/** The claim with other r and s. */
function withScalars({ bytes, digest }: Claim, r: bigint, s: bigint): Claim {
  const changed = bytes.slice();
  changed.set(uintToBytes32(r), 0);
  changed.set(uintToBytes32(s), 32);
  return { r, s, bytes: changed, digest };
}

const otherV = ({ bytes, ...claim }: Claim): Claim => {
  const changed = bytes.slice();
  changed[64] = changed[64] === 27 ? 28 : 27;
  return { ...claim, bytes: changed };
};

const flipBit = (bytes: Uint8Array, bit: number): Uint8Array => {
  const changed = bytes.slice();
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
};

describe('the inverses of scalars', () => {
  it('give 1 with the scalars, for any number of them, at the edges too', () => {
    const scalar = fc.bigInt({ min: 1n, max: curveOrder - 1n });
    const edge = fc.constantFrom(1n, 2n, curveOrder / 2n, curveOrder - 2n, curveOrder - 1n);
    fc.assert(
      fc.property(fc.array(fc.oneof(scalar, edge), { minLength: 1, maxLength: 30 }), (scalars) => {
        const products = invertScalars(scalars).map(
          (inverse, index) => (inverse * (scalars[index] ?? 0n)) % curveOrder,
        );
        expect(products).toEqual(scalars.map(() => 1n));
      }),
    );
  });
});

describe('a batch of signatures', () => {
  it('is proved when each of them recovers the key, whatever it signs', () => {
    const edges = [0n, 1n, curveOrder - 1n, curveOrder, curveOrder + 1n, 2n ** 256n - 1n];
    const batch = [...edges.map((digest) => signed(uintToBytes32(digest))), ...batchOf(94)];
    for (const count of [1, 2, 6, 20, 100]) {
      expect(proveBatch(batch.slice(0, count), publicKey, points)).toBe(true);
    }
    expect(batch.map(({ bytes }) => bytes[64])).toEqual(expect.arrayContaining([27, 28]));
  });

  it('is proved with the same signature in it twice', () => {
    const [first, ...others] = batchOf(6);
    if (!first) throw new Error('there is no signature');
    expect(proveBatch([first, ...others, first], publicKey, points)).toBe(true);
  });

  it.each<[string, (claim: Claim, bit: number) => Claim]>([
    ['another v', otherV],
    ['another digest', (claim, bit) => ({ ...claim, digest: flipBit(claim.digest, bit) })],
    [
      'another s',
      (claim, bit) =>
        withScalars(claim, claim.r, bytesToUint(flipBit(uintToBytes32(claim.s), bit % 250))),
    ],
    ['the high s', (claim) => withScalars(claim, claim.r, curveOrder - claim.s)],
    [
      'another r',
      (claim, bit) =>
        withScalars(claim, bytesToUint(flipBit(uintToBytes32(claim.r), bit % 250)), claim.s),
    ],
    ['the signature of another key', ({ digest }) => signed(digest, random.privateKey())],
    ['r = s = 1', (claim) => withScalars(claim, 1n, 1n)],
  ])('is not proved when one of them has %s', (_, spoil) => {
    const batch = batchOf(20);
    fc.assert(
      fc.property(fc.nat(19), fc.nat(255), (place, bit) => {
        const spoilt = batch.map((claim, index) => (index === place ? spoil(claim, bit) : claim));
        expect(proveBatch(spoilt, publicKey, points)).toBe(false);
      }),
      { numRuns: 25 },
    );
  });

  it('is not proved when all are another key’s, or all v are wrong', () => {
    const others = random.privateKey();
    const foreign = Array.from({ length: 20 }, () => signed(random.bytes(32), others));
    expect(proveBatch(foreign, publicKey, points)).toBe(false);
    expect(proveBatch(foreign, secp256k1.getPublicKey(others, false), points)).toBe(true);
    expect(proveBatch(batchOf(20).map(otherV), publicKey, points)).toBe(false);
  });

  it('is not proved when two wrong ones make up for each other', () => {
    // R1 + R2 is what it should be, each by itself is not: the sums of unweighted equations agree
    const [a, b, ...others] = batchOf(8);
    if (!a || !b) throw new Error('there are no signatures');
    const swapped = [
      { ...a, digest: b.digest },
      { ...b, digest: a.digest },
    ];
    expect(proveBatch([...swapped, ...others], publicKey, points)).toBe(false);
    // the same nonce, so the same R, with digests moved by s·d and −s′·d: the unweighted sum does not change
    const nonceSum = [a, a].map(({ r, s, bytes, digest }, index) => {
      const moved = (bytesToUint(digest) + (index === 0 ? s : curveOrder - s)) % curveOrder;
      return { r, s, bytes, digest: uintToBytes32(moved) };
    });
    expect(proveBatch([...nonceSum, ...others], publicKey, points)).toBe(false);
  });
});

describe('signatures of a provider that knows the recovery ids', () => {
  const reply = (digest: Uint8Array, highS = false): ProviderSignature => {
    const { r, s, recovery } = secp256k1.sign(digest, privateKey, { lowS: true });
    const bytes = Buffer.concat([uintToBytes32(r), uintToBytes32(highS ? curveOrder - s : s)]);
    const id = highS ? 1 - recovery : recovery;
    return { encoding: 'raw', bytes: Uint8Array.from(bytes), recoveryId: id === 1 ? 1 : 0 };
  };
  const digests = Array.from({ length: 20 }, () => random.bytes(32));

  it.each([false, true])('recover the key with their v, high s made low: %s', (highS) => {
    const replies = digests.map((digest, index) => reply(digest, highS && index % 2 === 0));
    const signatures = toEthereumSignatures(replies, digests, publicKey);
    for (const [index, signature] of signatures.entries()) {
      const digest = digests[index] ?? new Uint8Array();
      expect(bytesToUint(signature.subarray(32, 64))).toBeLessThanOrEqual(curveOrder / 2n);
      const id = signature[64] === 28 ? 1 : 0;
      expect(recoverPublicKey(digest, signature.subarray(0, 64), id)).toEqual(publicKey);
    }
  });

  it('get the right v where the provider is wrong about it', () => {
    const right = toEthereumSignatures(
      digests.map((digest) => reply(digest)),
      digests,
      publicKey,
    );
    const replies = digests.map((digest, index): ProviderSignature => {
      const signature = reply(digest);
      if (index !== 7 || signature.encoding !== 'raw') return signature;
      return { ...signature, recoveryId: signature.recoveryId === 0 ? 1 : 0 };
    });
    expect(toEthereumSignatures(replies, digests, publicKey)).toEqual(right);
  });

  it('are refused when one of them is over another digest', () => {
    const replies = digests.map((digest) => reply(digest));
    const asked = digests.map((digest, index) => (index === 3 ? random.bytes(32) : digest));
    expect(() => toEthereumSignatures(replies, asked, publicKey)).toThrow(
      expect.objectContaining({ code: 'PROVIDER_REPLY_INVALID' }),
    );
  });
});
