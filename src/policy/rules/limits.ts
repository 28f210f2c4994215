import { type Rational, compare } from '../../pm/rational.ts';
import type { Refusal, RefusalOf } from '../../pm/refusal.ts';
import { toWei, toWholeWei } from '../../pm/usd.ts';
import type { Spend } from '../limits/ledger.ts';
import type { RuleLimits } from './compile.ts';
import type { PaymentFacts } from './facts.ts';

type DistributiveOmit<Union, Key extends PropertyKey> = Union extends unknown
  ? Omit<Union, Key>
  : never;

type ExceededLimit = DistributiveOmit<RefusalOf<'RULE_LIMIT_EXCEEDED'>['data'], 'ruleId'>;

const nanosecondsPerMillisecond = 1_000_000n;

/** {@link RuleLimits} with all amounts in wei. */
type WeiLimits = Pick<RuleLimits, 'tickets' | 'sessionDurationMs'> & {
  readonly price: Rational | undefined;
  readonly ticketEv: Rational | undefined;
  readonly totalEv: bigint | undefined;
  readonly faceValue: bigint | undefined;
  readonly sessionEv: bigint | undefined;
};

/** Converts limits to wei. Limits in USD are rounded down, and are missing where there is no rate. */
export function limitsInWei(limits: RuleLimits, weiPerUsd: Rational | undefined): WeiLimits {
  const { price, ticketEv, totalEv, faceValue, sessionEv } = limits;
  return {
    ...limits,
    price: price && toWei(price, weiPerUsd),
    ticketEv: ticketEv && toWei(ticketEv, weiPerUsd),
    totalEv: totalEv === undefined ? undefined : toWholeWei(totalEv, weiPerUsd),
    faceValue: faceValue === undefined ? undefined : toWholeWei(faceValue, weiPerUsd),
    sessionEv: sessionEv === undefined ? undefined : toWholeWei(sessionEv, weiPerUsd),
  };
}

/** The refusal by the first limit that the payment exceeds; an amount equal to a limit is within it. `spend` is the payment's. */
export function refuseAboveLimits(
  ruleId: string,
  limits: WeiLimits,
  facts: PaymentFacts,
  spend: Spend,
): Refusal | undefined {
  const refuse = (exceeded: ExceededLimit): Refusal => ({
    code: 'RULE_LIMIT_EXCEEDED',
    data: { ruleId, ...exceeded },
  });
  const { price, ticketEv, totalEv, faceValue, tickets, sessionEv, sessionDurationMs } = limits;
  if (isAbove(facts.price, price)) {
    return {
      code: 'PRICE_ABOVE_CEILING',
      data: { actual: facts.price, maximum: price, source: 'rule', ruleId },
    };
  }
  if (isAbove(facts.ticketEv, ticketEv)) {
    return refuse({ limit: 'ticketEv', actual: facts.ticketEv, maximum: ticketEv });
  }
  if (totalEv !== undefined && spend.ev > totalEv) {
    return refuse({ limit: 'totalEv', actual: spend.ev, maximum: totalEv });
  }
  if (faceValue !== undefined && facts.faceValue > faceValue) {
    return refuse({ limit: 'faceValue', actual: facts.faceValue, maximum: faceValue });
  }
  if (tickets !== undefined && facts.tickets > tickets) {
    return refuse({ limit: 'tickets', actual: facts.tickets, maximum: tickets });
  }
  const sessionEvAfter = facts.session.ev + spend.ev;
  if (sessionEv !== undefined && sessionEvAfter > sessionEv) {
    return refuse({ limit: 'sessionEv', actual: sessionEvAfter, maximum: sessionEv });
  }
  if (sessionDurationMs !== undefined) {
    const age = facts.now - facts.session.startedAt;
    if (age > BigInt(sessionDurationMs) * nanosecondsPerMillisecond) {
      return refuse({ limit: 'sessionDuration', maximumMs: sessionDurationMs });
    }
  }
  return undefined;
}

function isAbove(value: Rational, limit: Rational | undefined): limit is Rational {
  return limit !== undefined && compare(value, limit) > 0;
}
