import { ChainError, type ChainFacts } from '../chain/facts.ts';
import type { Rational } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import { type Money, toWei } from '../pm/usd.ts';

/**
 * The wei per USD that a session's ceilings and limits are converted at: the rate at which the session began, so that no running
 * session ends because ether rises. Books that don't record a rate, such as go-livepeer's, get the present one. undefined while
 * no rate is known.
 */
export function sessionRate(
  { weiPerUsd }: Pick<SessionState, 'weiPerUsd'>,
  chain: Pick<ChainFacts, 'weiPerUsd'>,
): Rational | undefined {
  return weiPerUsd ?? chain.weiPerUsd;
}

/** wei. Throws `PRICE_FEED_UNAVAILABLE` for US dollars without a rate. */
export function requireWei(amount: Money, weiPerUsd: Rational | undefined): Rational {
  const wei = toWei(amount, weiPerUsd);
  if (!wei) throw rateUnavailable();
  return wei;
}

/** The error for an amount in USD that counts while no exchange rate is known. */
export function rateUnavailable(): ChainError {
  return new ChainError(
    'PRICE_FEED_UNAVAILABLE',
    'an amount in USD applies to the payment, and the price feed gives no rate that is new enough',
    { retryable: true },
  );
}
