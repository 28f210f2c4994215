import {
  type Rational,
  divideRoundingDown,
  formatDecimal,
  multiply,
  rational,
} from './rational.ts';

/** US dollars, exact; or US dollars per billing unit. */
export type Usd = { readonly usd: Rational };

/** Wei, or US dollars, which are worth as much wei as the rate says. */
export type Money = Rational | Usd;

/** wei; undefined for US dollars without a rate. */
export function toWei(amount: Money, weiPerUsd: Rational | undefined): Rational | undefined {
  if (!('usd' in amount)) return amount;
  return weiPerUsd && multiply(amount.usd, weiPerUsd);
}

/** Whole wei that a limit allows: rounded down, against the spender; undefined for US dollars without a rate. */
export function toWholeWei(
  limit: bigint | Usd,
  weiPerUsd: Rational | undefined,
): bigint | undefined {
  if (typeof limit === 'bigint') return limit;
  const wei = toWei(limit, weiPerUsd);
  return wei && divideRoundingDown(wei, rational(1n));
}

/** US dollars for wei, decimal text of at most 18 places without zeros at its end. */
export function formatUsd(wei: Rational, weiPerUsd: Rational): string {
  const { numerator, denominator } = weiPerUsd;
  const usd = multiply(wei, { numerator: denominator, denominator: numerator });
  return formatDecimal(usd, 18).replace(/\.?0+$/, '');
}
