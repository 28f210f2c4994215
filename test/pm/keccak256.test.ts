import { keccak_256 } from '@noble/hashes/sha3';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/pm/bytes.ts';
import { keccak256 } from '../../src/pm/keccak256.ts';
import { fc } from '../support/fast-check.ts';

describe('keccak256', () => {
  it('is Ethereum’s, not SHA-3: of nothing', () => {
    expect(toHex(keccak256(new Uint8Array()))).toBe(
      '0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470',
    );
  });

  it('is what another implementation makes of any bytes, at each length around a block', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 1_000 }),
      fc.constantFrom(135, 136, 137, 271, 272, 273).map((length) => new Uint8Array(length).fill(7)),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        expect(keccak256(input)).toEqual(keccak_256(input));
      }),
      { numRuns: 2_000 },
    );
  });

  it('leaves earlier hashes, and what it was given, as they are', () => {
    const input = new Uint8Array([1, 2, 3]);
    const first = keccak256(input);
    const copy = Uint8Array.from(first);
    keccak256(new Uint8Array(500));
    expect(first).toEqual(copy);
    expect(input).toEqual(new Uint8Array([1, 2, 3]));
  });
});
