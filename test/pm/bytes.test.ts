import { describe, expect, it } from 'vitest';
import {
  addressFromBytes,
  bytes32FromBytes,
  bytesToUint,
  fromHex,
  maxUint256,
  parseAddress,
  parseBytes32,
  toHex,
  uintToBytes32,
  uintToMinimalBytes,
  uintToWord,
  zeroBytes32,
} from '../../src/pm/bytes.ts';
import { fc } from '../support/fast-check.ts';

const anyBytes = fc.uint8Array({ maxLength: 100 });
const uint256 = fc.bigInt({ min: 0n, max: maxUint256 });

describe('hex', () => {
  it('is two lower-case digits a byte, and is read back', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const hex = toHex(bytes);
        expect(hex).toBe(`0x${Buffer.from(bytes).toString('hex')}`);
        expect(fromHex(hex)).toEqual(bytes);
      }),
    );
  });

  it.each(['0x1', '0xzz', '0x0g', '0x\u0131\u0131', '0x\uff11\uff11'] as const)(
    '%s is refused',
    (hex) => {
      expect(() => fromHex(hex)).toThrow('not an even number of hex digits');
    },
  );
});

describe('words of a fixed size', () => {
  it.each([
    [20, addressFromBytes],
    [32, bytes32FromBytes],
  ] as const)(
    'of %i bytes are the last bytes given, padded with zeros on the left',
    (size, convert) => {
      fc.assert(
        fc.property(anyBytes, (bytes) => {
          const digits = Buffer.from(bytes)
            .toString('hex')
            .padStart(2 * size, '0');
          expect(convert(bytes)).toBe(`0x${digits.slice(-2 * size)}`);
        }),
      );
      expect(convert(new Uint8Array())).toBe(`0x${'00'.repeat(size)}`);
    },
  );

  it('leave the bytes they were made of as they were', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    addressFromBytes(bytes);
    expect(bytes).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('are read from text of exactly their size, in any case', () => {
    const address = `0x${'aB'.repeat(20)}`;
    expect(parseAddress(address)).toBe(address.toLowerCase());
    const word = `0x${'aB'.repeat(32)}`;
    expect(parseBytes32(word)).toBe(word.toLowerCase());
    expect(parseBytes32(zeroBytes32)).toBe(zeroBytes32);
  });

  it.each([
    ...['', '0x', `0x${'ab'.repeat(19)}`, `0x${'ab'.repeat(21)}`, 'ab'.repeat(20)],
    ...[`0X${'ab'.repeat(20)}`, `0x${'ab'.repeat(19)}ag`, ` 0x${'ab'.repeat(20)}`],
    ...[` 0x${'ab'.repeat(32)}`, `0x${'ab'.repeat(32)}\n`, `0X${'ab'.repeat(32)}`],
    ...[`0x${'ab'.repeat(20)}\n`, `0x${'ab'.repeat(31)}`, `0x${'ab'.repeat(33)}`],
  ])('are not read from %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(parseBytes32(text)).toBeUndefined();
  });
});

describe('unsigned integers', () => {
  it('are read from big-endian bytes of any length', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(bytesToUint(bytes)).toBe(
          bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n),
        );
      }),
    );
    expect(bytesToUint(new Uint8Array())).toBe(0n);
  });

  it('are written in the fewest bytes, none for 0', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 600n }), (value) => {
        const bytes = uintToMinimalBytes(value);
        expect(bytesToUint(bytes)).toBe(value);
        expect(bytes[0]).not.toBe(0);
      }),
    );
    expect(uintToMinimalBytes(0n)).toEqual(new Uint8Array());
    expect(uintToMinimalBytes(255n)).toEqual(Uint8Array.of(255));
    expect(uintToMinimalBytes(256n)).toEqual(Uint8Array.of(1, 0));
  });

  it('are written in 32 bytes, up to 2^256 - 1', () => {
    fc.assert(
      fc.property(uint256, (value) => {
        const bytes = uintToBytes32(value);
        expect(bytes).toHaveLength(32);
        expect(bytesToUint(bytes)).toBe(value);
      }),
    );
    expect(uintToBytes32(maxUint256)).toEqual(new Uint8Array(32).fill(255));
  });

  it.each([-1n, maxUint256 + 1n, 2n ** 300n])('%s does not fit into 32 bytes', (value) => {
    expect(() => uintToBytes32(value)).toThrow(RangeError);
    expect(() => uintToWord(value)).toThrow(RangeError);
  });
});
