import { secp256k1 } from '@noble/curves/secp256k1';
import { createRequire } from 'node:module';
import type * as NativeModule from 'secp256k1';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { proveBatch } from '../../src/keys/batch-proof.ts';
import type { ProviderSignature } from '../../src/keys/provider.ts';
import { curveOrder, invertScalars } from '../../src/keys/scalars.ts';
import {
  type PointArithmetic,
  loadNativePointArithmetic,
  recoverPublicKey,
} from '../../src/keys/secp256k1.ts';
import { toEthereumSignature, toEthereumSignatures } from '../../src/keys/signature.ts';
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

/** A signature that is right by construction, its nonce 1, its s the one that is asked for: the digest follows. */
function withChosenS(s: bigint): Claim {
  const { x: r, y } = secp256k1.ProjectivePoint.BASE.toAffine();
  const key = bytesToUint(privateKey);
  const digest = (((s - r * key) % curveOrder) + curveOrder) % curveOrder;
  const bytes = Uint8Array.of(...uintToBytes32(r), ...uintToBytes32(s), y % 2n === 0n ? 27 : 28);
  return { r, s, bytes, digest: uintToBytes32(digest) };
}

/**
 * A signature that ECDSA takes as `publicKey`'s although no v of Ethereum tells its point: the x of it is r + n, which is still
 * below the field's prime. The key follows from the signature, since nobody knows the nonce of such a point.
 */
function beyondOrder(): { claims: Claim[]; publicKey: Uint8Array } {
  const { ProjectivePoint } = secp256k1;
  const order = curveOrder;
  for (let r = 1n; ; r += 1n) {
    let point;
    try {
      point = ProjectivePoint.fromHex(Uint8Array.of(2, ...uintToBytes32(order + r)));
    } catch {
      continue;
    }
    const [s, digest] = [7n, 11n];
    const [inverse = 0n] = invertScalars([r]);
    const key = point
      .multiply((s * inverse) % order)
      .add(ProjectivePoint.BASE.multiply(((order - digest) * inverse) % order));
    const claims = [27, 28].map((v) => ({
      r,
      s,
      bytes: Uint8Array.of(...uintToBytes32(r), ...uintToBytes32(s), v),
      digest: uintToBytes32(digest),
    }));
    return { claims, publicKey: key.toRawBytes(false) };
  }
}

describe('the proof of a batch', () => {
  const spied = (factors: Uint8Array[]): PointArithmetic => ({
    ...points,
    multiply: (point, scalar) => {
      // the key itself is given with 65 bytes, and its scalar is no factor
      if (point?.length === 33) factors.push(scalar.slice());
      return points.multiply(point, scalar);
    },
  });

  it('weighs each signature with 32 bits of its own, new ones each time', () => {
    const batch = batchOf(100);
    const factors: Uint8Array[] = [];
    for (let times = 0; times < 3; times++) proveBatch(batch, publicKey, spied(factors));
    expect(factors).toHaveLength(300);
    const texts = factors.map((factor) => Buffer.from(factor).toString('hex'));
    for (const text of texts) expect(text).toMatch(/^0{56}[0-9a-f]{8}$/);
    // two of 300 are alike once in 100,000 runs
    expect(new Set(texts).size).toBeGreaterThan(297);
    // of 300 random bytes 177 are different on average, with a deviation of 7
    for (let byte = 28; byte < 32; byte++) {
      expect(new Set(factors.map((factor) => factor[byte])).size).toBeGreaterThan(100);
    }
  });

  it('is not misled by two that make up for each other, wherever they are', () => {
    const batch = batchOf(7);
    for (const [first, a] of batch.entries()) {
      for (const second of batch.keys()) {
        if (first === second) continue;
        // the same point twice, the digests moved by s and −s: the sum of unweighted equations does not change
        const spoilt = batch.slice();
        for (const [place, change] of [
          [first, a.s],
          [second, curveOrder - a.s],
        ] as const) {
          const digest = uintToBytes32((bytesToUint(a.digest) + change) % curveOrder);
          spoilt[place] = { ...a, digest };
        }
        expect(proveBatch(spoilt, publicKey, points)).toBe(false);
      }
    }
  });

  it('takes the least and the largest s, and digests that are 0 modulo n', () => {
    const edges = [1n, 2n, curveOrder / 2n - 1n, curveOrder / 2n].map(withChosenS);
    expect(proveBatch(edges, publicKey, points)).toBe(true);
    const zeros = [0n, curveOrder, 0n].map((digest) => signed(uintToBytes32(digest)));
    expect(proveBatch(zeros, publicKey, points)).toBe(true);
  });

  it('refuses a point whose x is beyond n, which ECDSA takes and no v of Ethereum tells', () => {
    const { claims, publicKey: key } = beyondOrder();
    const [{ r, s, digest } = { r: 0n, s: 0n, digest: new Uint8Array() }] = claims;
    const compact = Uint8Array.of(...uintToBytes32(r), ...uintToBytes32(s));
    expect(secp256k1.verify(compact, digest, key)).toBe(true);
    for (const claim of claims) expect(proveBatch([claim], key, points)).toBe(false);
    const replies = Array.from({ length: 6 }, (): ProviderSignature => {
      return { encoding: 'raw', bytes: compact, recoveryId: 0 };
    });
    const digests = replies.map(() => digest);
    expect(() => toEthereumSignatures(replies, digests, key)).toThrow(
      expect.objectContaining({ code: 'PROVIDER_REPLY_INVALID' }),
    );
  });

  it.each<[string, Partial<PointArithmetic>]>([
    ['no point can be multiplied, as by a factor of 0', { multiply: () => undefined }],
    ['the sum is the point at infinity', { sum: () => undefined }],
    ['the right side is the point at infinity', { addMultipleOfGenerator: () => undefined }],
    ['both sides are', { sum: () => undefined, addMultipleOfGenerator: () => undefined }],
  ])('proves nothing where %s', (_, without) => {
    const batch = batchOf(6);
    expect(proveBatch(batch, publicKey, { ...points, ...without })).toBe(false);
    expect(proveBatch(batch, publicKey, points)).toBe(true);
  });

  it('leaves what it was given as it was', () => {
    const batch = batchOf(6);
    const copy = structuredClone(batch);
    const key = publicKey.slice();
    proveBatch(batch, key, points);
    expect(batch).toEqual(copy);
    expect(key).toEqual(publicKey);
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

  it.each([
    [5, 5, 0],
    [6, 0, 7],
    [20, 0, 21],
  ])('cost, %i of them, %i recoveries and %i products of points', (count, recoveries, products) => {
    const native = createRequire(import.meta.url)('secp256k1/bindings.js') as typeof NativeModule;
    const recover = vi.spyOn(native, 'ecdsaRecover');
    const multiply = vi.spyOn(native, 'publicKeyTweakMul');
    onTestFinished(() => void vi.restoreAllMocks());
    const asked = digests.slice(0, count);
    const replies = asked.map((digest) => reply(digest));
    expect(toEthereumSignatures(replies, asked, publicKey)).toHaveLength(count);
    expect(recover.mock.calls.length).toBe(recoveries);
    expect(multiply.mock.calls.length).toBe(products);
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

  it.each([6, 99, 100])('are proved to the last one, of %i', (count) => {
    const asked = Array.from({ length: count }, () => random.bytes(32));
    const replies = asked.map((digest) => reply(digest));
    const right = toEthereumSignatures(replies, asked, publicKey);
    for (const place of [0, count - 1]) {
      const digest = asked[place] ?? expect.unreachable();
      const spoilt = replies.with(place, turned(asRaw(digest)));
      expect(toEthereumSignatures(spoilt, asked, publicKey)).toEqual(right);
      const foreign = replies.with(place, asRaw(random.bytes(32)));
      expect(() => toEthereumSignatures(foreign, asked, publicKey)).toThrow(
        expect.objectContaining({ code: 'PROVIDER_REPLY_INVALID' }),
      );
    }
  });

  it('are refused when one of them is over another digest', () => {
    const replies = digests.map((digest) => reply(digest));
    const asked = digests.map((digest, index) => (index === 3 ? random.bytes(32) : digest));
    expect(() => toEthereumSignatures(replies, asked, publicKey)).toThrow(
      expect.objectContaining({ code: 'PROVIDER_REPLY_INVALID' }),
    );
  });

  type Raw = Extract<ProviderSignature, { encoding: 'raw' }>;
  const raw = (r: bigint, s: bigint): Raw => {
    const bytes = Uint8Array.of(...uintToBytes32(r), ...uintToBytes32(s));
    return { encoding: 'raw', bytes, recoveryId: 0 };
  };
  const turned = (signature: Raw): Raw => {
    return { ...signature, recoveryId: signature.recoveryId === 0 ? 1 : 0 };
  };
  const asRaw = (digest: Uint8Array): Raw => {
    const signature = reply(digest);
    if (signature.encoding !== 'raw') throw new Error('not raw');
    return signature;
  };

  it('are refused in a batch, as alone, where r or s is no scalar', () => {
    const replies = digests.map((digest) => reply(digest));
    const { r, s } = signed(digests[0] ?? new Uint8Array());
    for (const value of [0n, curveOrder, curveOrder + 1n, 2n ** 256n - 1n]) {
      for (const wrong of [raw(value, s), raw(r, value)]) {
        expect(() =>
          toEthereumSignatures([wrong, ...replies.slice(1)], digests, publicKey),
        ).toThrow(
          expect.objectContaining({
            code: 'PROVIDER_REPLY_INVALID',
            message: expect.stringContaining('outside [1, n - 1]') as string,
          }),
        );
      }
    }
  });

  it('are in a batch what they are one by one, whatever is wrong with any of them', () => {
    const other = secp256k1.getPublicKey(random.privateKey(), false);
    const changes: Record<string, (signature: Raw, digest: Uint8Array) => Raw> = {
      nothing: (signature) => signature,
      'high s': (_, digest) => {
        const { r, s, recovery } = secp256k1.sign(digest, privateKey, { lowS: true });
        return { ...raw(r, curveOrder - s), recoveryId: recovery === 0 ? 1 : 0 };
      },
      v: turned,
      'one bit': (signature) => {
        return { ...signature, bytes: flipBit(signature.bytes, random.int(512)) };
      },
      digest: () => asRaw(random.bytes(32)),
      'no point': () => raw(5n, 1n),
      'no scalar': () => raw(1n, curveOrder),
    };
    const outcome = (work: () => Uint8Array[]): unknown => {
      try {
        return work();
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            { weight: 8, arbitrary: fc.constantFrom('nothing', 'high s', 'v') },
            { weight: 1, arbitrary: fc.constantFrom(...Object.keys(changes)) },
          ),
          { minLength: 6, maxLength: 12 },
        ),
        fc.boolean(),
        (kinds, isOurs) => {
          const asked = digests.slice(0, kinds.length);
          const replies = asked.map(
            (digest, index) => changes[kinds[index] ?? '']?.(asRaw(digest), digest) ?? raw(1n, 1n),
          );
          const key = isOurs ? publicKey : other;
          const alone = outcome(() =>
            replies.map((each, index) =>
              toEthereumSignature(each, asked[index] ?? new Uint8Array(), key),
            ),
          );
          expect(outcome(() => toEthereumSignatures(replies, asked, key))).toEqual(alone);
          seen.add(typeof alone === 'string' ? alone : 'signatures');
        },
      ),
      { numRuns: 60 },
    );
    expect([...seen].sort()).toEqual(['PROVIDER_REPLY_INVALID', 'signatures']);
  });
});
