import type { Authorization, PaymentAuthorizer } from '../auth/authorization.ts';
import { type Principal, anonymous, principalOfAuthId } from '../auth/principal.ts';
import type { Grant } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';
import { priceRatio } from '../pm/billing.ts';
import type { Quote } from '../pm/quote.ts';
import { divideRoundingDown } from '../pm/rational.ts';
import type { Refusal } from '../pm/refusal.ts';
import { hashManifestId, refuseManifestId } from '../pm/segment-credentials.ts';
import { type SessionState, advanceSession } from '../pm/session-state.ts';
import { type TicketLimits, refuseTicketParams } from '../pm/ticket-params-validation.ts';
import { type Ticket, type TicketParams, expectedValue } from '../pm/ticket.ts';
import { drawUpTickets } from '../pm/tickets.ts';
import { requireWei, sessionRate } from './exchange-rate.ts';
import { payWithinWindows } from './pay-within-windows.ts';
import { reasonOf } from './grant-reasons.ts';
import type { GrantAuthority } from './grants.ts';
import type { Spend } from './limits/ledger.ts';
import { type LedgerOpener, type WindowUsage, reserve, usageOf } from './limits/reserve.ts';
import { subtractSpend } from './limits/windows.ts';
import { type PriceList, configuredCeiling } from './price-list.ts';
import { type PaymentProposal, factsOf, refuseAboveCeilings } from './proposal.ts';
import type { CompiledPolicy } from './rules/compile.ts';
import { evaluateRules, refuseExhausted, refuseSpentSession } from './rules/evaluate.ts';
import { type PaymentFacts, spendOf } from './rules/facts.ts';
import { refuseForgotten, sessionChargeOf } from './session-spending.ts';
import {
  isStillAuthorized,
  refuseAboveWebhookCeiling,
  requireOwner,
  withAuthorization,
} from './session-authorization.ts';

/** The operator's guardrails. */
export type Guardrails = {
  readonly limits: TicketLimits;
  readonly prices: PriceList;
  /** tickets in one payment */
  readonly maxTickets: bigint;
  /** what happens to another request with a state that was used before */
  readonly forks: 'count' | 'deny';
};

export type Denied = {
  readonly kind: 'deny';
  readonly refusal: Refusal;
  /** undefined where no rule of the policy file refused */
  readonly ruleId: string | undefined;
  /** the principal, where it was established later than by the transport */
  readonly principal: Principal | undefined;
  /** the windows that the payment counts in, where one of them has no room; undefined where their use can't be read */
  readonly windows: readonly WindowUsage[] | undefined;
};

export type AllowedPayment = {
  /** with the tickets that are to be signed */
  readonly quote: Quote;
  readonly tickets: readonly Ticket[];
  /** the books after the payment */
  readonly books: SessionState;
  readonly ticketBatch: Grant;
  /** the grant to sign them, or the signature (65 bytes) that the session already carries for this manifest id */
  readonly segmentCredentials: Grant | Uint8Array;
  /** the grant to seal these books, as encoded */
  sealBooks(intent: Extract<Intent, { kind: 'session-state' }>): Grant;
  readonly principal: Principal;
  /** expected value of its tickets, whole wei, rounded up */
  readonly ev: bigint;
  /** the rules that matched, and those in observe mode that would have denied */
  readonly rules: readonly string[];
  readonly observed: readonly string[];
  /**
   * Gives back what was reserved, except for what the key was asked to sign. To be called only when no signature has left the
   * gate and no further call of the key begins. Never throws.
   */
  release(use: KeyUse): Promise<void>;
};

/** What a payment has asked the key to sign: a call that has begun may have made a signature, however it ended. */
export type KeyUse = {
  /** calls for a ticket's signature, one for each ticket */
  readonly ticketCalls: number;
  readonly otherCalls: number;
};

export type PaymentVerdict = Denied | ({ readonly kind: 'allow' } & AllowedPayment);

export type PaymentDecisionOptions = {
  readonly guardrails: Guardrails;
  /** undefined when no outside service is asked */
  readonly authorize: PaymentAuthorizer | undefined;
  /** the rules in force, read for each payment */
  readonly rules: () => CompiledPolicy;
  readonly ledger: LedgerOpener | undefined;
  readonly grants: Pick<GrantAuthority, 'issue'>;
};

type AuthorizedPayment = {
  readonly kind: 'authorized';
  /** the books after the payment, with who pays */
  readonly books: SessionState;
  readonly principal: Principal;
};

type ReservedPayment = {
  readonly kind: 'reserved';
  readonly rules: readonly string[];
  readonly observed: readonly string[];
  readonly ev: AllowedPayment['ev'];
  readonly release: AllowedPayment['release'];
};

/**
 * Makes the decision on a payment, in the four steps of docs/guardrails.md: is it allowed, does the auth webhook agree, do the
 * operator's rules agree and have their windows room, and only then the grants for the key.
 */
export function createPaymentDecision({
  guardrails: { limits, prices, maxTickets, forks },
  authorize,
  rules,
  ledger,
  grants,
}: PaymentDecisionOptions): (
  proposal: PaymentProposal,
  signal: AbortSignal,
) => Promise<PaymentVerdict> {
  return async (asked, signal) => {
    const allowance = ticketAllowance(asked.params, { limits, maxTickets });
    const proposal = payWithinWindows(asked, rules(), allowance);
    const refused = refuse(proposal);
    if (refused) return refused;
    const authorized = await askWebhook(proposal, signal);
    if (authorized.kind === 'deny') return authorized;
    const reserved = await judgeRules(proposal, authorized, signal);
    if (reserved.kind === 'deny') return reserved;
    return drawUpGrants(proposal, authorized, reserved);
  };

  /** "Is the payment allowed?" */
  function refuse(proposal: PaymentProposal): Denied | undefined {
    const refusal = refusePayment(proposal);
    if (refusal) return deny(refusal);
    requireOwner(proposal.books, proposal.caller);
    return proposal.isFork && forks === 'deny'
      ? deny({ code: 'STATE_FORKED', data: {} })
      : undefined;
  }

  function refusePayment(proposal: PaymentProposal): Refusal | undefined {
    const { quote, params, chain, books, type, models } = proposal;
    const weiPerUsd = sessionRate(books, chain);
    const aboveCeiling = refuseAboveCeilings(proposal, [
      {
        source: 'configured maximum price',
        maximum: configuredCeiling(prices, type, models, (amount) => requireWei(amount, weiPerUsd)),
      },
      { source: 'request maxPrice', maximum: proposal.requestMaxPrice },
      {
        source: 'initial session price',
        maximum: proposal.isNewSession ? undefined : priceRatio(books.initialPrice),
      },
    ]);
    if (aboveCeiling) return aboveCeiling;
    if (quote.ticketCount <= 0n) return { code: 'NO_TICKETS_DUE', data: {} };
    if (quote.ticketCount > maxTickets) {
      const data = { actual: quote.ticketCount, maximum: maxTickets };
      return { code: 'TICKET_COUNT_ABOVE_MAXIMUM', data };
    }
    return (
      refuseTicketParams(params, quote.ticketCount, chain, limits) ??
      refuseManifestId(proposal.manifestId)
    );
  }

  /** "Does the auth webhook agree?" */
  async function askWebhook(
    proposal: PaymentProposal,
    signal: AbortSignal,
  ): Promise<AuthorizedPayment | Denied> {
    const { params, quote, caller, now, isTypeNew, billingRule } = proposal;
    const projected = advanceSession(proposal.books, {
      now,
      pmSessionId: params.recipientRandHash,
      senderNonce: quote.lastNonce + Number(quote.ticketCount),
      balance: quote.balance,
      ev: spendOf(factsOf(proposal)).ev,
      weiPerUsd: sessionRate(proposal.books, proposal.chain),
      billingRule,
    });
    let authorization: Authorization | undefined;
    // what the webhook granted to payments without a type was not granted to this type
    if (authorize && (isTypeNew || !isStillAuthorized(proposal.books, caller, now))) {
      authorization = await authorize(caller, projected, signal);
      const aboveWebhookCeiling = refuseAboveWebhookCeiling(proposal, authorization);
      if (aboveWebhookCeiling) {
        return deny(aboveWebhookCeiling, { principal: caller.principal });
      }
    }
    const books = withAuthorization(projected, caller, authorization);
    const principal =
      caller.principal === anonymous ? principalOfAuthId(books.authId) : caller.principal;
    return { kind: 'authorized', books, principal };
  }

  /** "Do the operator's rules agree?" */
  async function judgeRules(
    proposal: PaymentProposal,
    { principal }: AuthorizedPayment,
    signal: AbortSignal,
  ): Promise<ReservedPayment | Denied> {
    const facts = { ...factsOf(proposal), principal };
    const spend = spendOf(facts);
    const policy = rules();
    const verdict = evaluateRules(policy, facts);
    if (verdict.kind === 'deny') return deny(verdict.refusal, { ...verdict, principal });
    const { charges, matched } = verdict;
    const session = ledger && sessionChargeOf(policy, matched, proposal);
    const forgotten = session && refuseForgotten(session, proposal);
    if (forgotten) return deny(forgotten, { ruleId: forgotten.data.ruleId, principal });
    const reservation = await reserve(ledger, charges, spend, signal, session);
    if (reservation.kind !== 'reserved') {
      const refusal =
        reservation.kind === 'exceeded'
          ? refuseExhausted(reservation, charges, spend)
          : refuseSpentSession(reservation, spend);
      const windows = reservation.kind === 'exceeded' ? await usageOf(ledger, charges) : undefined;
      return deny(refusal, { ruleId: refusal.data.ruleId, principal, windows });
    }
    return {
      kind: 'reserved',
      rules: matched,
      observed: [...new Set([...verdict.observed, ...reservation.observed])],
      ev: spend.ev,
      release: (use) => reservation.release(unusedSpend(facts, use)),
    };
  }

  /** "The key": what it is to sign, and nothing else. */
  function drawUpGrants(
    proposal: PaymentProposal,
    { books, principal }: AuthorizedPayment,
    { rules, observed, ev, release }: ReservedPayment,
  ): PaymentVerdict {
    const { params, sender, chain, quote, manifestId } = proposal;
    const reason = reasonOf(proposal, books, principal, rules, observed);
    const tickets = drawUpTickets(
      params,
      sender,
      chain.lastInitializedRound,
      quote.lastNonce,
      Number(quote.ticketCount),
    );
    return {
      kind: 'allow',
      quote,
      tickets,
      books,
      ticketBatch: grants.issue({ kind: 'ticket-batch', tickets }, reason),
      segmentCredentials:
        carriedCredentials(books, manifestId) ??
        grants.issue({ kind: 'segment-credentials', manifestId }, reason),
      sealBooks: (intent) => grants.issue(intent, reason),
      principal,
      ev,
      rules,
      observed,
      release,
    };
  }
}

/** How many tickets of these parameters one payment may hold at most. */
export function ticketAllowance(
  params: TicketParams,
  { limits, maxTickets }: Pick<Guardrails, 'limits' | 'maxTickets'>,
): bigint {
  const ev = expectedValue(params);
  if (ev.numerator === 0n) return maxTickets;
  const byTotalEv = divideRoundingDown(limits.maxTotalEv, ev);
  return byTotalEv < maxTickets ? byTotalEv : maxTickets;
}

function deny(
  refusal: Refusal,
  { ruleId, principal, windows }: Partial<Omit<Denied, 'kind' | 'refusal'>> = {},
): Denied {
  return { kind: 'deny', refusal, ruleId, principal, windows };
}

function carriedCredentials(
  { segmentCredentials }: SessionState,
  manifestId: string,
): Uint8Array | undefined {
  return segmentCredentials?.manifestIdHash === hashManifestId(manifestId)
    ? segmentCredentials.signature
    : undefined;
}

/** What a failed payment leaves unspent. A session counts as begun once the key was asked for anything. */
function unusedSpend(facts: PaymentFacts, { ticketCalls, otherCalls }: KeyUse): Spend {
  const used = spendOf({ ...facts, tickets: BigInt(ticketCalls) });
  const spend = spendOf(facts);
  const isKeyUsed = ticketCalls + otherCalls > 0;
  return subtractSpend(spend, { ...used, sessions: isKeyUsed ? spend.sessions : 0n });
}
