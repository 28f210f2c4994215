import { type Rational, parseRational, rational } from '../pm/rational.ts';

const weiPerUnit: Readonly<Record<string, bigint>> = {
  wei: 1n,
  gwei: 10n ** 9n,
  ether: 10n ** 18n,
};

const amountPattern = /^(\d+(?:\.\d+)?)\s*(wei|gwei|ether)$/;

/** `"0.5 ether"`, `"30 gwei"` or `"1200.5 wei"` as exact wei; undefined for anything else. */
export function parseAmount(text: string): Rational | undefined {
  const [, number = '', unit = ''] = amountPattern.exec(text.trim()) ?? [];
  const value = parseRational(number);
  const factor = weiPerUnit[unit];
  if (!value || factor === undefined) return undefined;
  return rational(value.numerator * factor, value.denominator);
}
