import { describe, expect, it } from 'vitest';
import { compare, rational } from '../../src/pm/rational.ts';
import { formatUsd, toWei, toWholeWei } from '../../src/pm/usd.ts';

const rate = rational(1_000n, 3n);
const usd = { usd: rational(1n, 2n) };

describe('US dollars as wei', () => {
  it('are worth what the rate says, exactly', () => {
    expect(compare(toWei(usd, rate) ?? rational(0n), rational(500n, 3n))).toBe(0);
    expect(toWei(usd, undefined)).toBeUndefined();
  });

  it('are rounded down where they are a limit', () => {
    expect(toWholeWei(usd, rate)).toBe(166n);
    expect(toWholeWei({ usd: rational(3n) }, rate)).toBe(1_000n);
    expect(toWholeWei(usd, undefined)).toBeUndefined();
  });

  it('need no rate where they are wei already', () => {
    const wei = rational(7n, 2n);
    for (const any of [rate, undefined]) {
      expect(toWei(wei, any)).toBe(wei);
      expect(toWholeWei(7n, any)).toBe(7n);
    }
  });
});

describe('US dollars for wei', () => {
  it('are exact to 18 places, without zeros at the end', () => {
    expect(formatUsd(rational(5n), rational(10n))).toBe('0.5');
    expect(formatUsd(rational(20n), rational(10n))).toBe('2');
    expect(formatUsd(rational(100n), rational(1n))).toBe('100');
    expect(formatUsd(rational(1n), rational(10n ** 18n))).toBe('0.000000000000000001');
    expect(formatUsd(rational(14n), rational(10n ** 19n))).toBe('0.000000000000000001');
  });
});
