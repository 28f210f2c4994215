/**
 * An exact fraction with a positive denominator. All money that is not whole wei is one. Sums and products are not reduced:
 * reducing takes more time than all other arithmetic, and only text has to be in lowest terms.
 */
export type Rational = { readonly numerator: bigint; readonly denominator: bigint };

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

/** numerator / denominator in lowest terms. Throws RangeError when the denominator is zero. */
export function rational(numerator: bigint, denominator = 1n): Rational {
  if (denominator === 0n) throw new RangeError('denominator is zero');
  if (denominator === 1n) return { numerator, denominator };
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = greatestCommonDivisor(numerator, denominator * sign);
  return { numerator: (numerator * sign) / divisor, denominator: (denominator * sign) / divisor };
}

export const zero = rational(0n);

/** a + b. Where one denominator is a multiple of the other, as in expected values and balances, the larger one is kept. */
export function add(a: Rational, b: Rational): Rational {
  const [fine, coarse] = a.denominator < b.denominator ? [b, a] : [a, b];
  if (fine.denominator % coarse.denominator === 0n) {
    const numerator = fine.numerator + coarse.numerator * (fine.denominator / coarse.denominator);
    return { numerator, denominator: fine.denominator };
  }
  return {
    numerator: a.numerator * b.denominator + b.numerator * a.denominator,
    denominator: a.denominator * b.denominator,
  };
}

/** a − b */
export function subtract(a: Rational, b: Rational): Rational {
  return add(a, { numerator: -b.numerator, denominator: b.denominator });
}

/** a · factor */
export function scale(a: Rational, factor: bigint): Rational {
  return { numerator: a.numerator * factor, denominator: a.denominator };
}

/** a · b */
export function multiply(a: Rational, b: Rational): Rational {
  return {
    numerator: a.numerator * b.numerator,
    denominator: a.denominator * b.denominator,
  };
}

/** Negative when a < b, zero when equal, positive when a > b. */
export function compare(a: Rational, b: Rational): -1 | 0 | 1 {
  const difference = a.numerator * b.denominator - b.numerator * a.denominator;
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

/** The larger of the two. */
export function max(a: Rational, b: Rational): Rational {
  return compare(a, b) < 0 ? b : a;
}

/** The largest integer ≤ a / b, for a ≥ 0 and b > 0. */
export function divideRoundingDown(a: Rational, b: Rational): bigint {
  return (a.numerator * b.denominator) / (a.denominator * b.numerator);
}

/** The smallest integer ≥ a / b, for b > 0. */
export function divideRoundingUp(a: Rational, b: Rational): bigint {
  const numerator = a.numerator * b.denominator;
  const denominator = a.denominator * b.numerator;
  const quotient = numerator / denominator;
  return numerator % denominator > 0n ? quotient + 1n : quotient;
}

/** `"123"` when whole, else `"num/den"` in lowest terms, as Go's `Rat.RatString` writes it. */
export function formatRational(value: Rational): string {
  const { numerator, denominator } = rational(value.numerator, value.denominator);
  return denominator === 1n
    ? numerator.toString()
    : `${numerator.toString()}/${denominator.toString()}`;
}

/** Decimal text with exactly `places` digits, halves rounded away from zero, as Go's `Rat.FloatString`. */
export function formatDecimal({ numerator, denominator }: Rational, places: number): string {
  const magnitude = numerator < 0n ? -numerator : numerator;
  const scaled = (2n * magnitude * 10n ** BigInt(places) + denominator) / (2n * denominator);
  const digits = scaled.toString().padStart(places + 1, '0');
  const whole = digits.slice(0, digits.length - places);
  const sign = numerator < 0n ? '-' : '';
  return places === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-places)}`;
}

const fractionPattern = /^([+-]?\d+)\/(\d+)$/;
const decimalPattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

/** Longer than any balance; reducing a fraction takes time that grows with the square of its length. */
const maxTextLength = 1024;

/**
 * Reads `"3"`, `"-1.5"`, `"1e3"` or `"6/7"`; undefined for anything else, for texts of more than 1,024 characters
 * and for exponents of more than three digits.
 */
export function parseRational(text: string): Rational | undefined {
  if (text.length > maxTextLength) return undefined;
  const fraction = fractionPattern.exec(text);
  if (fraction) {
    const denominator = BigInt(fraction[2] ?? '');
    if (denominator === 0n) return undefined;
    return { numerator: BigInt(fraction[1] ?? ''), denominator };
  }
  const decimal = decimalPattern.exec(text);
  if (!decimal) return undefined;
  const [, sign, whole = '', places = '', exponentText = '0'] = decimal;
  if (whole + places === '') return undefined;
  const digits = BigInt(whole + places) * (sign === '-' ? -1n : 1n);
  const exponent = BigInt(exponentText) - BigInt(places.length);
  return exponent < 0n ? rational(digits, 10n ** -exponent) : rational(digits * 10n ** exponent);
}
