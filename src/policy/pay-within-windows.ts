import { anonymous, principalOfAuthId } from '../auth/principal.ts';
import { payInPart } from '../pm/quote.ts';
import { divideRoundingDown, rational } from '../pm/rational.ts';
import { type PaymentProposal, factsOf } from './proposal.ts';
import type { CompiledPolicy } from './rules/compile.ts';
import { listWindows } from './rules/evaluate.ts';
import type { PaymentFacts } from './rules/facts.ts';

/**
 * What a session that is billed by time pays now. A session that its windows have refused for a while owes more than one of them
 * holds, and more with every attempt. It pays as much as its windows hold when they are empty, and at most `allowance` tickets,
 * and owes the rest. A payment that no window counts, or that does not fit a single ticket into an empty window, stays as it is.
 */
export function payWithinWindows(
  proposal: PaymentProposal,
  policy: CompiledPolicy,
  allowance: bigint,
): PaymentProposal {
  const { billingRule, isNewSession, type, quote } = proposal;
  const isByTime = type === 'lv2v' || type === 'live';
  if (!policy.hasWindows || billingRule === 'upstream' || isNewSession || !isByTime)
    return proposal;
  const ofWindows = ticketsOfWindows(policy, {
    ...factsOf(proposal),
    principal: payerOf(proposal),
  });
  if (ofWindows === undefined) return proposal;
  const ticketCount = ofWindows < allowance ? ofWindows : allowance;
  if (ticketCount < 1n || ticketCount >= quote.ticketCount) return proposal;
  return { ...proposal, quote: payInPart(quote, ticketCount) };
}

/** How many tickets fit into each of the payment's windows when they are empty; undefined where it counts in none. */
function ticketsOfWindows(policy: CompiledPolicy, facts: PaymentFacts): bigint | undefined {
  const { ticketEv } = facts;
  const counts = listWindows(policy, facts).flatMap(({ isEnforced, limits: { ev, tickets } }) => {
    if (!isEnforced) return [];
    const byEv =
      ev === undefined || ticketEv.numerator === 0n
        ? undefined
        : divideRoundingDown(rational(ev), ticketEv);
    return [byEv, tickets].filter((count) => count !== undefined);
  });
  return counts.reduce<bigint | undefined>(
    (least, count) => (least === undefined || count < least ? count : least),
    undefined,
  );
}

/** The principal of a running session, as far as it is known before the webhook is asked. */
function payerOf({ caller, books }: PaymentProposal): PaymentFacts['principal'] {
  if (caller.principal !== anonymous) return caller.principal;
  return principalOfAuthId(caller.authId === '' ? books.authId : caller.authId);
}
