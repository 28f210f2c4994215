import { type Rational, compare, formatDecimal } from '../../pm/rational.ts';
import type { Refusal } from '../../pm/refusal.ts';
import type { Spend } from '../limits/ledger.ts';
import type { RuleLimits } from './compile.ts';
import { formatDuration } from './duration.ts';
import type { PaymentFacts } from './facts.ts';

const nanosecondsPerMillisecond = 1_000_000n;

/** The first limit that the payment goes over; what is equal to a limit is within it. `spend` is the payment's. */
export function refuseAboveLimits(
  ruleId: string,
  limits: RuleLimits,
  facts: PaymentFacts,
  spend: Spend,
): Refusal | undefined {
  const refuse = (what: string): Refusal => ({
    code: 'RULE_LIMIT_EXCEEDED',
    message: `denied by rule ${ruleId}: ${what}`,
  });
  const { price, ticketEv, totalEv, faceValue, tickets, sessionEv, sessionDurationMs } = limits;
  if (isAbove(facts.price, price)) {
    return {
      code: 'PRICE_ABOVE_CEILING',
      message: `orchestrator price ${formatDecimal(facts.price, 3)} exceeds rule ${ruleId} ceiling ${formatDecimal(price, 3)}`,
    };
  }
  if (isAbove(facts.ticketEv, ticketEv)) {
    return refuse(
      `a ticket's EV of ${inWei(facts.ticketEv)} exceeds its limit of ${inWei(ticketEv)}`,
    );
  }
  if (totalEv !== undefined && spend.ev > totalEv) {
    return refuse(`a total EV of ${inWei(spend.ev)} exceeds its limit of ${inWei(totalEv)}`);
  }
  if (faceValue !== undefined && facts.faceValue > faceValue) {
    return refuse(
      `a face value of ${inWei(facts.faceValue)} exceeds its limit of ${inWei(faceValue)}`,
    );
  }
  if (tickets !== undefined && facts.tickets > tickets) {
    return refuse(`${facts.tickets.toString()} tickets exceed its limit of ${tickets.toString()}`);
  }
  if (sessionEv !== undefined && facts.session.ev + spend.ev > sessionEv) {
    return refuse(`the session's EV would exceed its limit of ${inWei(sessionEv)}`);
  }
  if (sessionDurationMs !== undefined) {
    const age = facts.now - facts.session.startedAt;
    if (age > BigInt(sessionDurationMs) * nanosecondsPerMillisecond) {
      return refuse(
        `the session has lasted longer than its limit of ${formatDuration(sessionDurationMs)}`,
      );
    }
  }
  return undefined;
}

function isAbove(value: Rational, limit: Rational | undefined): limit is Rational {
  return limit !== undefined && compare(value, limit) > 0;
}

function inWei(wei: bigint | Rational): string {
  if (typeof wei === 'bigint') return `${wei.toString()} wei`;
  const { numerator, denominator } = wei;
  return denominator === 1n ? inWei(numerator) : `${formatDecimal(wei, 3)} wei`;
}
