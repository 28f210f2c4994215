import { secp256k1 } from '@noble/curves/secp256k1';
import { recoverAddress } from 'viem';
import { describe, expect, it } from 'vitest';
import { curveOrder } from '../../src/keys/scalars.ts';
import {
  encodeDerSignature,
  parseDerSignature,
  parseRawSignature,
  publicKeyToAddress,
  toEthereumSignature,
  verifyPersonalSignature,
  verifySignature,
} from '../../src/keys/signature.ts';
import { recoverPublicKey } from '../../src/keys/secp256k1.ts';
import { bytesToUint, parseAddress, toHex } from '../../src/pm/bytes.ts';
import { personalMessageDigest } from '../../src/pm/personal-message.ts';
import { concat, derInteger, derSignature, hex, tlv } from './der.ts';
import { fc } from '../support/fast-check.ts';

const n = curveOrder;
const half = n / 2n;
const invalidReply = expect.objectContaining({
  name: 'ProviderError',
  code: 'PROVIDER_REPLY_INVALID',
}) as Error;

const boundaries = [
  ...[1n, 2n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n],
  ...[half, half + 1n, 2n ** 255n - 1n, 2n ** 255n, 2n ** 255n + 1n, 2n ** 248n, 2n ** 247n],
  ...[n - 2n, n - 1n],
];
const scalar = fc.oneof(
  { weight: 4, arbitrary: fc.bigInt({ min: 1n, max: n - 1n }) },
  { weight: 2, arbitrary: fc.bigInt({ min: half + 1n, max: n - 1n }) },
  { weight: 2, arbitrary: fc.bigInt({ min: 2n ** 255n, max: n - 1n }) },
  // 1 to 31 bytes: leading zeros in 32
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 31 }), fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }))
      .map(([size, bits]) => (bits >> BigInt(8 * (32 - size))) | 1n),
  },
  { weight: 1, arbitrary: fc.constantFrom(...boundaries) },
);

function toBytes(value: bigint, size: number): Uint8Array {
  return hex(value.toString(16).padStart(2 * size, '0'));
}

describe('DER signatures', () => {
  it('are read back to the r and s that were written, for any pair in [1, n - 1]', () => {
    fc.assert(
      fc.property(scalar, scalar, (r, s) => {
        const der = derSignature(r, s);
        expect(parseDerSignature(der)).toEqual({ r, s });
        expect(encodeDerSignature({ r, s })).toEqual(der);
        expect(der.length).toBeLessThanOrEqual(72);
      }),
      { numRuns: 2000 },
    );
  });

  it.each(boundaries.flatMap((r) => boundaries.map((s) => ({ r, s }))))(
    'are read at the boundary r = $r, s = $s',
    ({ r, s }) => {
      expect(parseDerSignature(derSignature(r, s))).toEqual({ r, s });
    },
  );

  it('are read the same when they lie inside a larger buffer', () => {
    const der = derSignature(n - 1n, 1n);
    const inside = concat(hex('dead'), der, hex('beef')).subarray(2, 2 + der.length);
    expect(parseDerSignature(inside)).toEqual({ r: n - 1n, s: 1n });
  });

  it('read as OpenSSL and @noble/curves read them', () => {
    fc.assert(
      fc.property(scalar, scalar, (r, s) => {
        const other = secp256k1.Signature.fromDER(derSignature(r, s));
        expect(parseDerSignature(derSignature(r, s))).toEqual({ r: other.r, s: other.s });
      }),
      { numRuns: 300 },
    );
  });
});

/** 32 bytes whose top bit is clear, so that the base case has no zero bytes. */
const R = hex('11'.repeat(32));
const S = hex('22'.repeat(32));
const intR = tlv(0x02, R);
const intS = tlv(0x02, S);
const good = tlv(0x30, intR, intS);
const top = hex(`80${'00'.repeat(31)}`);
const mebibyte = 1 << 20;

const malformed: readonly (readonly [string, Uint8Array])[] = [
  ['no bytes', hex('')],
  ['a tag and nothing else', hex('30')],
  ['an empty sequence', hex('30 00')],
  ['a sequence with r alone', tlv(0x30, intR)],
  ['three integers', tlv(0x30, intR, intS, tlv(0x02, hex('01')))],
  ['a SET', tlv(0x31, intR, intS)],
  ['a primitive SEQUENCE', tlv(0x10, intR, intS)],
  ['a context-specific tag', tlv(0xa0, intR, intS)],
  ['an application tag', tlv(0x70, intR, intS)],
  ['a signature within an OCTET STRING', tlv(0x04, good)],
  ['a signature within a BIT STRING', tlv(0x03, hex('00'), good)],
  ['a signature within another sequence', tlv(0x30, good)],
  ['each integer within its own sequence', tlv(0x30, tlv(0x30, intR), tlv(0x30, intS))],
  ['integers without a sequence', concat(intR, intS)],
  ['a sequence length in the long form', concat(hex('30 81 44'), intR, intS)],
  ['a sequence length in two bytes', concat(hex('30 82 0044'), intR, intS)],
  ['a sequence length in four bytes', concat(hex('30 84 00000044'), intR, intS)],
  ['a sequence length of 2 GiB', concat(hex('30 84 7fffffff'), intR, intS)],
  ['a sequence length of 2^64 - 1', concat(hex('30 88 ffffffffffffffff'), intR, intS)],
  ['an indefinite length', concat(hex('30 80'), intR, intS, hex('0000'))],
  ['an indefinite length without its end', concat(hex('30 80'), intR, intS)],
  ['the reserved length 0xff', concat(hex('30 ff'), intR, intS)],
  ['a byte after the signature', concat(good, hex('00'))],
  ['an end-of-contents after the signature', concat(good, hex('0000'))],
  ['a second signature after the first', concat(good, good)],
  ['an end-of-contents before the signature', concat(hex('0000'), good)],
  ['a NULL after s', tlv(0x30, intR, intS, hex('0500'))],
  ['a zero byte after s, inside the sequence', tlv(0x30, intR, intS, hex('00'))],
  ['a sequence length one too small', concat(hex('30 43'), intR, intS)],
  ['a sequence length one too large', concat(hex('30 45'), intR, intS)],
  ['a signature without its last byte', good.slice(0, -1)],
  ['half of a signature', good.slice(0, 35)],
  ['r with a length in the long form', tlv(0x30, hex('02 81 20'), R, intS)],
  ['s with a length in the long form', tlv(0x30, intR, hex('02 81 20'), S)],
  ['r with an indefinite length', tlv(0x30, hex('02 80'), R, hex('0000'), intS)],
  ['r with a needless zero byte', tlv(0x30, tlv(0x02, hex('00'), R), intS)],
  ['s with a needless zero byte', tlv(0x30, intR, tlv(0x02, hex('00'), S))],
  ['r with two zero bytes before a set top bit', tlv(0x30, tlv(0x02, hex('0000'), top), intS)],
  ['a short r padded to 32 bytes', tlv(0x30, tlv(0x02, toBytes(5n, 32)), intS)],
  ['a negative r', tlv(0x30, tlv(0x02, top), intS)],
  ['a negative s', tlv(0x30, intR, tlv(0x02, top))],
  ['r = -1', tlv(0x30, hex('02 01 ff'), intS)],
  ['r = -1 in 32 bytes', tlv(0x30, tlv(0x02, hex('ff'.repeat(32))), intS)],
  ['r = 0', tlv(0x30, hex('02 01 00'), intS)],
  ['s = 0', tlv(0x30, intR, hex('02 01 00'))],
  ['r without bytes', tlv(0x30, hex('02 00'), intS)],
  ['s without bytes', tlv(0x30, intR, hex('02 00'))],
  ['r = n', derSignature(n, 1n)],
  ['s = n', derSignature(1n, n)],
  ['r = n + 1', derSignature(n + 1n, 1n)],
  ['s = 2^256 - 1', derSignature(1n, 2n ** 256n - 1n)],
  ['s = 2^256', derSignature(1n, 2n ** 256n)],
  ['r of 64 bytes', tlv(0x30, tlv(0x02, R, R), intS)],
  ['r = n + 2^256', derSignature(n + 2n ** 256n, 1n)],
  ['r that claims to reach past the sequence', tlv(0x30, hex('02 7f'), R, intS)],
  ['r that swallows s', tlv(0x30, hex('02 42'), R, intS)],
  ['r as an OCTET STRING', tlv(0x30, tlv(0x04, R), intS)],
  ['s as an OCTET STRING', tlv(0x30, intR, tlv(0x04, S))],
  ['r as an ENUMERATED', tlv(0x30, tlv(0x0a, R), intS)],
  ['r as a BIT STRING', tlv(0x30, tlv(0x03, R), intS)],
  ['r as a BOOLEAN', tlv(0x30, tlv(0x01, R), intS)],
  ['a GeneralizedTime in place of the sequence', concat(hex('18 44'), intR, intS)],
  ['r as a GeneralizedTime', tlv(0x30, tlv(0x18, R), intS)],
  ['s as a GeneralizedTime', tlv(0x30, intR, tlv(0x18, S))],
  ['r as a UTCTime', tlv(0x30, tlv(0x17, R), intS)],
  ['r as an OBJECT IDENTIFIER', tlv(0x30, tlv(0x06, R), intS)],
  ['r as a REAL', tlv(0x30, tlv(0x09, R), intS)],
  ['r under a context-specific tag', tlv(0x30, tlv(0x82, R), intS)],
  ['a constructed INTEGER', tlv(0x30, tlv(0x22, intR), intS)],
  ['a constructed INTEGER of raw bytes', tlv(0x30, tlv(0x22, R), intS)],
  ['a SEQUENCE in the high-tag-number form', concat(hex('3f 10 44'), intR, intS)],
  ['an INTEGER in the high-tag-number form', tlv(0x30, hex('1f 02 20'), R, intS)],
  ['70 zero bytes', new Uint8Array(70)],
  ['70 bytes of 0xff', new Uint8Array(70).fill(0xff)],
  ['r and s side by side', concat(R, S)],
  ['hex text of a signature', new TextEncoder().encode(toHex(good))],
  ['base64 text of a signature', new TextEncoder().encode(Buffer.from(good).toString('base64'))],
  ['1 MiB of zeros', new Uint8Array(mebibyte)],
  ['1 MiB of 0x30', new Uint8Array(mebibyte).fill(0x30)],
  ['1 MiB of nested indefinite sequences', Uint8Array.from(Buffer.alloc(mebibyte, '3080', 'hex'))],
  ['1 MiB of noise', Uint8Array.from({ length: mebibyte }, (_, at) => (at * 2654435761) >>> 24)],
  [
    'a 1 MiB sequence of integers',
    tlv(0x30, Uint8Array.from(Buffer.alloc(mebibyte, '020107', 'hex'))),
  ],
  ['a 1 MiB integer r', tlv(0x30, tlv(0x02, new Uint8Array(mebibyte).fill(7)), intS)],
  ['a signature and 1 MiB of zeros', concat(good, new Uint8Array(mebibyte))],
];

describe('malformed DER signatures', () => {
  it('differ from a well-formed one that is read', () => {
    expect(parseDerSignature(good)).toEqual({ r: bytesToUint(R), s: bytesToUint(S) });
    expect(malformed.length).toBeGreaterThanOrEqual(40);
    expect(new Set(malformed.map(([, der]) => toHex(der))).size).toBe(malformed.length);
  });

  it.each(malformed)('are refused: %s', (_, der) => {
    expect(() => parseDerSignature(der)).toThrow(invalidReply);
  });

  it('are refused under each of the other 255 tags', () => {
    for (let tag = 0; tag < 256; tag++) {
      const retagged: [string, Uint8Array, own: number][] = [
        ['sequence', concat(Uint8Array.of(tag), good.subarray(1)), 0x30],
        ['r', tlv(0x30, concat(Uint8Array.of(tag), intR.subarray(1)), intS), 0x02],
        ['s', tlv(0x30, intR, concat(Uint8Array.of(tag), intS.subarray(1))), 0x02],
      ];
      for (const [what, der, own] of retagged) {
        if (tag === own) continue;
        expect(() => parseDerSignature(der), `${what} under tag ${tag}`).toThrow(invalidReply);
      }
    }
  });

  it('are refused whatever single byte of the structure is changed', () => {
    const structure = [0, 1, 2, 3, 36, 37];
    for (const at of structure) {
      for (let xor = 1; xor < 256; xor++) {
        const changed = good.map((byte, index) => (index === at ? byte ^ xor : byte));
        expect(() => parseDerSignature(changed), `byte ${at} xor ${xor}`).toThrow(invalidReply);
      }
    }
  });

  it('never fail in another way: random bytes are read canonically or refused', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 90 }),
      fc
        .tuple(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }))
        .map(([r, s]) => tlv(0x30, tlv(0x02, r), tlv(0x02, s))),
    );
    fc.assert(
      fc.property(bytes, (der) => {
        let read;
        try {
          read = parseDerSignature(der);
        } catch (error) {
          expect(error).toEqual(invalidReply);
          return;
        }
        expect(derSignature(read.r, read.s)).toEqual(der);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('what is wrong with a signature', () => {
  const raw = (r: bigint, s: bigint) => concat(toBytes(r, 32), toBytes(s, 32));

  it.each([
    ['r', 0n, 1n],
    ['r', n, n],
    ['s', 1n, 0n],
    ['s', n - 1n, n],
  ])('is told, with the number that is out of range: %s', (which, r, s) => {
    const refused = expect.objectContaining({
      code: 'PROVIDER_REPLY_INVALID',
      retryable: true,
      message: `the key provider's signature has ${which} outside [1, n - 1]`,
    }) as Error;
    expect(() => parseRawSignature(raw(r, s))).toThrow(refused);
    expect(() => parseDerSignature(derSignature(r, s))).toThrow(refused);
  });

  it('is that it is none at all, from the length on that no signature has', () => {
    const refusalOf = (der: Uint8Array): string => {
      try {
        parseDerSignature(der);
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const padded = (zeros: number) => tlv(0x30, tlv(0x02, new Uint8Array(zeros), R), intS);
    expect([padded(2).length, padded(3).length]).toEqual([72, 73]);
    expect(refusalOf(padded(2))).toMatch('is not in its one DER encoding');
    expect(refusalOf(padded(3))).toMatch('is not DER: SEQUENCE of two INTEGERs expected');
    expect(refusalOf(tlv(0x30, intR))).toMatch('is not DER: SEQUENCE of two INTEGERs expected');
  });
});

describe('a signature of chosen r and s, whose key is the one that it recovers', () => {
  const digest = hex('5a'.repeat(32));
  const compact = (r: bigint, s: bigint) => concat(toBytes(r, 32), toBytes(s, 32));
  const keyOf = (r: bigint, s: bigint): Uint8Array =>
    recoverPublicKey(digest, compact(r, s), 0) ?? expect.unreachable();
  /** The next x of a point of the curve. */
  const xFrom = (from: bigint): bigint => {
    for (let x = from; ; x += 1n) if (recoverPublicKey(digest, compact(x, 1n), 0)) return x;
  };

  it('keeps the largest low s, and has the next one turned', () => {
    const r = xFrom(2n ** 200n);
    for (const [s, low, v] of [
      [half, half, 27],
      [half + 1n, half, 28],
    ] as const) {
      const bytes = compact(r, s);
      const signature = toEthereumSignature({ encoding: 'raw', bytes }, digest, keyOf(r, s));
      expect(signature).toEqual(concat(compact(r, low), Uint8Array.of(v)));
      const address = publicKeyToAddress(keyOf(r, s));
      expect(verifySignature(address, digest, signature)).toBe(true);
      expect(verifySignature(address, digest, concat(bytes, hex('1b')))).toBe(s === half);
    }
  });

  it.each([
    ['of 2 bytes', 1n, 2n, 'raw', 1],
    ['of 62 bytes', 2n ** 240n, 2n ** 244n, 'raw', 31],
    ['of 64 bytes, high s', 2n ** 255n, n - 5n, 'raw', 32],
    ['of 64 bytes, DER', 2n ** 225n, 2n ** 225n, 'der', 29],
  ] as const)('is written in 65 bytes: %s', (_, from, s, encoding, width) => {
    const r = xFrom(from);
    const bytes =
      encoding === 'der' ? derSignature(r, s) : concat(toBytes(r, width), toBytes(s, width));
    if (encoding === 'der') expect(bytes).toHaveLength(64);
    const signature = toEthereumSignature({ encoding, bytes }, digest, keyOf(r, s));
    const isHigh = s > half;
    const expected = concat(compact(r, isHigh ? n - s : s), Uint8Array.of(isHigh ? 28 : 27));
    expect(signature).toEqual(expected);
  });
});

describe('raw signatures', () => {
  it('are two integers of the same width, 1 to 32 bytes each', () => {
    fc.assert(
      fc.property(scalar, scalar, (r, s) => {
        const needed = Math.max(derInteger(r).length, derInteger(s).length) - 2;
        for (let width = Math.min(needed, 32); width <= 32; width++) {
          expect(parseRawSignature(concat(toBytes(r, width), toBytes(s, width)))).toEqual({ r, s });
        }
      }),
      { numRuns: 300 },
    );
    expect(parseRawSignature(hex('01 02'))).toEqual({ r: 1n, s: 2n });
  });

  it('are refused where two good integers have 33 bytes', () => {
    const padded = concat(toBytes(1n, 33), toBytes(2n, 33));
    expect(() => parseRawSignature(padded)).toThrow(invalidReply);
    expect(() => parseRawSignature(padded)).toThrow('has 66 bytes; an even number up to 64');
    expect(() => parseRawSignature(new Uint8Array())).toThrow('has 0 bytes');
  });

  it.each([0, 1, 3, 31, 33, 63, 65, 66, 68, 70, 72, 128, mebibyte])(
    'of %i bytes are refused',
    (length) => {
      expect(() => parseRawSignature(new Uint8Array(length).fill(1))).toThrow(invalidReply);
    },
  );

  it.each([
    ['r = 0', 0n, 1n],
    ['s = 0', 1n, 0n],
    ['r = n', n, 1n],
    ['s = n', 1n, n],
    ['r = 2^256 - 1', 2n ** 256n - 1n, 1n],
    ['both 0', 0n, 0n],
  ])('with %s are refused', (_, r, s) => {
    expect(() => parseRawSignature(concat(toBytes(r, 32), toBytes(s, 32)))).toThrow(invalidReply);
  });
});

const privateKey = hex('0123456789abcdef'.repeat(4));
const otherKey = hex('fedcba9876543210'.repeat(4));
const publicKey = secp256k1.getPublicKey(privateKey, false);
const digest32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Signed by @noble/curves; `high` gives the twin with the high s, which is as valid. */
function sign(digest: Uint8Array, key: Uint8Array, high: boolean) {
  const { r, s } = secp256k1.sign(digest, key, { lowS: true });
  return { r, s: high ? n - s : s };
}

describe('toEthereumSignature', () => {
  it('gives r, low s and the v that recovers the key, from high and low s, DER and raw', async () => {
    await fc.assert(
      fc.asyncProperty(digest32, fc.boolean(), fc.boolean(), async (digest, high, isDer) => {
        const { r, s } = sign(digest, privateKey, high);
        const signature = toEthereumSignature(
          isDer
            ? { encoding: 'der', bytes: derSignature(r, s) }
            : { encoding: 'raw', bytes: concat(toBytes(r, 32), toBytes(s, 32)) },
          digest,
          publicKey,
        );
        expect(signature).toHaveLength(65);
        expect(bytesToUint(signature.subarray(0, 32))).toBe(r);
        expect(bytesToUint(signature.subarray(32, 64))).toBe(high ? n - s : s);
        expect(bytesToUint(signature.subarray(32, 64)) <= half).toBe(true);
        expect([27, 28]).toContain(signature[64]);
        const recovered = await recoverAddress({
          hash: toHex(digest),
          signature: toHex(signature),
        });
        expect(recovered.toLowerCase()).toBe(publicKeyToAddress(publicKey));
      }),
      { numRuns: 200 },
    );
  });

  it("refuses another key's signature rather than guess a recovery id", () => {
    fc.assert(
      fc.property(digest32, fc.boolean(), (digest, high) => {
        const { r, s } = sign(digest, otherKey, high);
        expect(() =>
          toEthereumSignature({ encoding: 'der', bytes: derSignature(r, s) }, digest, publicKey),
        ).toThrow(invalidReply);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses a signature over another digest', () => {
    fc.assert(
      fc.property(digest32, fc.integer({ min: 0, max: 255 }), (digest, bit) => {
        const other = digest.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
        const { r, s } = sign(other, privateKey, false);
        expect(() =>
          toEthereumSignature({ encoding: 'der', bytes: derSignature(r, s) }, digest, publicKey),
        ).toThrow(invalidReply);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['r and s swapped', (r: bigint, s: bigint) => [s, r] as const],
    ['r = 1, s = 1', () => [1n, 1n] as const],
    ['an r that is no point of the curve', () => [5n, 1n] as const],
    ['s plus one', (r: bigint, s: bigint) => [r, s + 1n] as const],
    ['the negated r', (r: bigint, s: bigint) => [n - r, s] as const],
  ])('refuses a well-formed reply with %s', (_, change) => {
    const digest = hex('5a'.repeat(32));
    const { r, s } = sign(digest, privateKey, false);
    const bytes = derSignature(...change(r, s));
    expect(() => toEthereumSignature({ encoding: 'der', bytes }, digest, publicKey)).toThrow(
      invalidReply,
    );
  });

  it('does not read DER as raw, or raw as DER', () => {
    const digest = hex('5a'.repeat(32));
    const { r, s } = sign(digest, privateKey, false);
    const raw = concat(toBytes(r, 32), toBytes(s, 32));
    const der = derSignature(r, s);
    expect(() => toEthereumSignature({ encoding: 'der', bytes: raw }, digest, publicKey)).toThrow(
      invalidReply,
    );
    expect(() => toEthereumSignature({ encoding: 'raw', bytes: der }, digest, publicKey)).toThrow(
      invalidReply,
    );
  });
});

describe('verifyPersonalSignature', () => {
  const message = new TextEncoder().encode('{"StateID":"1"}');
  const address = publicKeyToAddress(publicKey);
  const valid = toEthereumSignature(
    {
      encoding: 'raw',
      bytes: secp256k1.sign(personalMessageDigest(message), privateKey).toCompactRawBytes(),
    },
    personalMessageDigest(message),
    publicKey,
  );

  it('takes signatures with either v', () => {
    const seen = new Set<number | undefined>();
    for (let count = 0; count < 40; count += 1) {
      const digest = personalMessageDigest(Uint8Array.of(count));
      const bytes = secp256k1.sign(digest, privateKey).toCompactRawBytes();
      const signature = toEthereumSignature({ encoding: 'raw', bytes }, digest, publicKey);
      seen.add(signature[64]);
      expect(verifyPersonalSignature(address, Uint8Array.of(count), signature)).toBe(true);
    }
    expect(seen).toEqual(new Set([27, 28]));
  });

  it("takes the address's signature over exactly this message", () => {
    expect(verifyPersonalSignature(address, message, valid)).toBe(true);
  });

  it('refuses the signature with any single bit changed', () => {
    for (let bit = 0; bit < 65 * 8; bit++) {
      const changed = valid.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(verifyPersonalSignature(address, message, changed), `bit ${bit}`).toBe(false);
    }
  });

  it('refuses the message with any single bit changed', () => {
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = message.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(verifyPersonalSignature(address, changed, valid), `bit ${bit}`).toBe(false);
    }
  });

  it('refuses the high-s twin, another address, other lengths and other values of v', () => {
    const twin = concat(
      valid.slice(0, 32),
      toBytes(n - bytesToUint(valid.slice(32, 64)), 32),
      Uint8Array.of((valid[64] ?? 0) ^ 7),
    );
    const other = parseAddress(`0x${'12'.repeat(20)}`);
    if (!other) throw new Error('not an address');
    expect(verifyPersonalSignature(address, message, twin)).toBe(false);
    expect(verifyPersonalSignature(other, message, valid)).toBe(false);
    expect(verifyPersonalSignature(address, message, valid.slice(0, 64))).toBe(false);
    expect(verifyPersonalSignature(address, message, concat(valid, hex('00')))).toBe(false);
    expect(verifyPersonalSignature(address, message, new Uint8Array())).toBe(false);
    for (const v of [0, 1, 2, 26, 29, 30, 35, 36, 255]) {
      const changed = concat(valid.slice(0, 64), Uint8Array.of(v));
      expect(verifyPersonalSignature(address, message, changed), `v ${v}`).toBe(false);
    }
  });
});
