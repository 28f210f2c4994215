import {
  type Rational,
  divideRoundingDown,
  formatDecimal,
  multiply,
  rational,
} from './rational.ts';

/** US dollars, exact; or US dollars per billing unit. */
export type Usd = { readonly usd: Rational };

/** An amount in wei, or in US dollars, which the exchange rate turns into wei. */
export type Money = Rational | Usd;

/** The amount in wei; undefined for US dollars without a rate. */
export function toWei(amount: Money, weiPerUsd: Rational | undefined): Rational | undefined {
  if (!('usd' in amount)) return amount;
  return weiPerUsd && multiply(amount.usd, weiPerUsd);
}

/** The whole wei that a limit allows: rounded down, against the spender; undefined for US dollars without a rate. */
export function toWholeWei(
  limit: bigint | Usd,
  weiPerUsd: Rational | undefined,
): bigint | undefined {
  if (typeof limit === 'bigint') return limit;
  const wei = toWei(limit, weiPerUsd);
  return wei && divideRoundingDown(wei, rational(1n));
}

/** US dollars for wei, as decimal text of at most 18 places without trailing zeros. */
export function formatUsd(wei: Rational, weiPerUsd: Rational): string {
  const { numerator, denominator } = weiPerUsd;
  const usd = multiply(wei, { numerator: denominator, denominator: numerator });
  return formatDecimal(usd, 18).replace(/\.?0+$/, '');
}
