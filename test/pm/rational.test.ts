import { describe, expect, it } from 'vitest';
import {
  type Rational,
  add,
  compare,
  divideRoundingDown,
  divideRoundingUp,
  formatDecimal,
  formatRational,
  max,
  parseRational,
  rational,
  scale,
  subtract,
  zero,
} from '../../src/pm/rational.ts';
import { anyAmount, anyCredit, anyRational } from './arbitraries.ts';
import { fc } from '../support/fast-check.ts';

const divisor = (a: bigint, b: bigint): bigint =>
  b === 0n ? (a < 0n ? -a : a) : divisor(b, a % b);

function expectLowestTerms({ numerator, denominator }: Rational): void {
  expect(denominator > 0n).toBe(true);
  expect(divisor(numerator, denominator)).toBe(1n);
}

/** Whether a / b, c / d are the same number, by cross-multiplication. */
function isSame(a: bigint, b: bigint, c: bigint, d: bigint): boolean {
  return a * d === c * b;
}

describe('a rational', () => {
  it('is in lowest terms with a positive denominator, whatever signs it is made of', () => {
    const part = fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n });
    fc.assert(
      fc.property(part, part, part, (a, b, c) => {
        fc.pre(b !== 0n && c !== 0n);
        const value = rational(a * c, b * c);
        expectLowestTerms(value);
        expect(isSame(a, b, value.numerator, value.denominator)).toBe(true);
        expect(rational(a, b)).toEqual(value);
      }),
    );
  });

  it('of zero is 0/1', () => {
    expect(rational(0n, -7n)).toEqual({ numerator: 0n, denominator: 1n });
    expect(zero).toEqual({ numerator: 0n, denominator: 1n });
  });

  it('has no zero denominator', () => {
    expect(() => rational(1n, 0n)).toThrow(RangeError);
    expect(() => rational(0n, 0n)).toThrow(RangeError);
  });
});

describe('arithmetic', () => {
  it('adds, subtracts and scales exactly', () => {
    const factor = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
    fc.assert(
      fc.property(anyRational, anyRational, factor, (x, y, k) => {
        const [a, b, c, d] = [x.numerator, x.denominator, y.numerator, y.denominator];
        const [sum, difference, product] = [add(x, y), subtract(x, y), scale(x, k)];
        expect(isSame(a * d + c * b, b * d, sum.numerator, sum.denominator)).toBe(true);
        expect(isSame(a * d - c * b, b * d, difference.numerator, difference.denominator)).toBe(
          true,
        );
        expect(isSame(a * k, b, product.numerator, product.denominator)).toBe(true);
        expect(compare(subtract(sum, y), x)).toBe(0);
      }),
    );
  });

  it('compares as the difference tells', () => {
    fc.assert(
      fc.property(anyRational, anyRational, (x, y) => {
        const difference = subtract(x, y).numerator;
        expect(compare(x, y)).toBe(difference > 0n ? 1 : difference < 0n ? -1 : 0);
        expect(compare(y, x)).toBe(0 - compare(x, y));
        expect(compare(x, x)).toBe(0);
        expect(max(x, y)).toEqual(difference >= 0n ? x : y);
      }),
    );
  });

  it('rounds quotients up to the smallest integer that reaches them, and down to the largest below', () => {
    fc.assert(
      fc.property(anyCredit, anyAmount, (x, y) => {
        const up = divideRoundingUp(x, y);
        expect(compare(scale(y, up), x) >= 0).toBe(true);
        expect(compare(scale(y, up - 1n), x) < 0).toBe(true);
        const down = divideRoundingDown(x, y);
        expect(compare(scale(y, down), x) <= 0).toBe(true);
        expect(compare(scale(y, down + 1n), x) > 0).toBe(true);
      }),
    );
  });

  it('rounds negative quotients up too', () => {
    expect(divideRoundingUp(rational(-7n), rational(2n))).toBe(-3n);
    expect(divideRoundingUp(rational(-1n, 3n), rational(2n))).toBe(0n);
    expect(divideRoundingUp(rational(-4n), rational(2n))).toBe(-2n);
  });
});

describe('text', () => {
  it('of a rational is read back as the same one', () => {
    fc.assert(
      fc.property(anyRational, (value) => {
        expect(parseRational(formatRational(value))).toEqual(value);
      }),
    );
  });

  it('of sums and products is in lowest terms, as those are not', () => {
    const half = rational(1n, 2n);
    expect(formatRational(add(half, half))).toBe('1');
    expect(formatRational(subtract(half, half))).toBe('0');
    expect(formatRational(add(rational(1n, 6n), rational(1n, 10n)))).toBe('4/15');
    expect(formatRational(add(rational(1n, 4n), rational(1n, 12n)))).toBe('1/3');
    expect(formatRational(scale(rational(-1n, 6n), 4n))).toBe('-2/3');
  });

  it('leaves the denominator out when it is 1', () => {
    expect(formatRational(rational(-6n, 3n))).toBe('-2');
    expect(formatRational(rational(6n, -4n))).toBe('-3/2');
    expect(formatRational(zero)).toBe('0');
  });

  it('of decimals is at most half a unit of the last place away, and ties go away from zero', () => {
    fc.assert(
      fc.property(anyRational, fc.integer({ min: 0, max: 12 }), (value, places) => {
        const text = formatDecimal(value, places);
        expect(text).toMatch(places === 0 ? /^-?\d+$/ : new RegExp(`^-?\\d+\\.\\d{${places}}$`));
        const shown = BigInt(text.replace('.', ''));
        const unit = 10n ** BigInt(places);
        const { numerator, denominator } = value;
        const twice = 2n * (numerator * unit - shown * denominator);
        expect(twice <= denominator && twice >= -denominator).toBe(true);
        const isTie = twice === denominator || twice === -denominator;
        if (isTie) expect(twice > 0n).toBe(numerator < 0n);
      }),
    );
  });

  it.each([
    ['1/2', 0, '1'],
    ['-1/2', 0, '-1'],
    ['1/3', 3, '0.333'],
    ['2/3', 3, '0.667'],
    ['-1/3', 5, '-0.33333'],
    ['1/1000000', 3, '0.000'],
    ['1200', 3, '1200.000'],
    ['1/20', 1, '0.1'],
  ])('%s with %i decimals is %s', (text, places, expected) => {
    expect(formatDecimal(parseRational(text) ?? zero, places)).toBe(expected);
  });

  it.each([
    ['3', 3n, 1n],
    ['+3', 3n, 1n],
    ['-1.5', -3n, 2n],
    ['.5', 1n, 2n],
    ['5.', 5n, 1n],
    ['007', 7n, 1n],
    ['1e3', 1000n, 1n],
    ['1E+3', 1000n, 1n],
    ['25e-2', 1n, 4n],
    ['1.25e1', 25n, 2n],
    ['6/4', 3n, 2n],
    ['-6/4', -3n, 2n],
    ['+6/3', 2n, 1n],
    ['0/5', 0n, 1n],
    ['0e999', 0n, 1n],
    ['0.1', 1n, 10n],
  ])('%s is read exactly', (text, numerator, denominator) => {
    const value = parseRational(text) ?? zero;
    expect(rational(value.numerator, value.denominator)).toEqual({ numerator, denominator });
  });

  it.each([
    ...['', ' ', '.', '-', '+', 'e3', '1e', '1e1000', '1e-1000', '1/0', '0/0', '1/', '/2', '1/-2'],
    ...['1.5/2', '1 ', ' 1', '1_000', '0x10', 'NaN', 'Infinity', '--1', '1..2', '1,5', '١', '1n'],
    ...['1e1.5', '1/2/3', '1\n', '½'],
  ])('%j is not read', (text) => {
    expect(parseRational(text)).toBeUndefined();
  });

  it('of up to 1,024 characters is read', () => {
    expect(parseRational('9'.repeat(1024))?.numerator).toBe(10n ** 1024n - 1n);
    expect(parseRational('9'.repeat(1025))).toBeUndefined();
    expect(parseRational(`1/${'9'.repeat(1023)}`)).toBeUndefined();
  });

  it('is read as the digits say, never through a binary fraction', () => {
    const digits = fc.stringMatching(/^[0-9]{1,60}$/);
    fc.assert(
      fc.property(digits, digits, fc.integer({ min: -99, max: 99 }), (whole, places, exponent) => {
        const value = parseRational(`${whole}.${places}e${exponent}`);
        if (!value) throw new Error('not read');
        const shift = BigInt(exponent) - BigInt(places.length);
        const [up, down] = shift < 0n ? [1n, 10n ** -shift] : [10n ** shift, 1n];
        expect(isSame(BigInt(whole + places) * up, down, value.numerator, value.denominator)).toBe(
          true,
        );
      }),
    );
  });
});
