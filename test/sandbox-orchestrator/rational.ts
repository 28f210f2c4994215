/** An exact ratio; the denominator is positive. */
export type Rational = { readonly numerator: bigint; readonly denominator: bigint };

/** `numerator / denominator` in lowest terms. Throws RangeError for a denominator of 0. */
export function toRational(numerator: bigint, denominator: bigint): Rational {
  if (denominator === 0n) throw new RangeError('denominator is 0');
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = greatestCommonDivisor(numerator, denominator);
  return { numerator: (sign * numerator) / divisor, denominator: (sign * denominator) / divisor };
}

/** Whether `left` is smaller than `right`. */
export function isLess(left: Rational, right: Rational): boolean {
  return left.numerator * right.denominator < right.numerator * left.denominator;
}

/** The nearest integer as text, halves away from zero. */
export function toIntegerText({ numerator, denominator }: Rational): string {
  const magnitude = numerator < 0n ? -numerator : numerator;
  const rounded = (2n * magnitude + denominator) / (2n * denominator);
  return `${numerator < 0n && rounded > 0n ? '-' : ''}${rounded}`;
}

function greatestCommonDivisor(left: bigint, right: bigint): bigint {
  let [a, b] = [left < 0n ? -left : left, right < 0n ? -right : right];
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}
