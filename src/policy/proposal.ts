import type { Caller } from '../auth/authorization.ts';
import type { ChainFacts } from '../chain/facts.ts';
import { type BillingRule, type PaymentType, type Price, priceRatio } from '../pm/billing.ts';
import type { ByocJob } from '../pm/byoc-job.ts';
import type { Address } from '../pm/bytes.ts';
import { type PriceCeiling, judgedPrice, refusePriceAboveCeilings } from '../pm/price-ceilings.ts';
import type { Quote } from '../pm/quote.ts';
import type { Rational } from '../pm/rational.ts';
import type { Refusal } from '../pm/refusal.ts';
import { type SessionState, sessionStart } from '../pm/session-state.ts';
import type { TicketParams } from '../pm/ticket.ts';
import { sessionRate } from './exchange-rate.ts';
import type { CapabilityModel } from './price-list.ts';
import type { PaymentFacts } from './rules/facts.ts';

/** A session and the parameters it is to be continued with. */
export type SessionFacts = {
  readonly params: TicketParams;
  readonly books: SessionState;
  readonly chain: ChainFacts;
  /** Unix nanoseconds */
  readonly now: bigint;
};

/** A payment that is proposed; nothing of it is signed yet. */
export type PaymentProposal = SessionFacts & {
  readonly requestId: string;
  readonly sender: Address;
  readonly caller: Caller;
  readonly type: PaymentType;
  /** whether the session had no type before, and has one now */
  readonly isTypeNew: boolean;
  readonly billingRule: BillingRule;
  readonly quote: Quote;
  /** the orchestrator's price now */
  readonly price: Price;
  /** wei per billing unit */
  readonly requestMaxPrice: Rational | undefined;
  readonly isNewSession: boolean;
  /** whether another request has used the session's state before */
  readonly isFork: boolean;
  readonly models: readonly CapabilityModel[];
  readonly manifestId: string;
  /** the labels that the client gives its job, for the audit record */
  readonly usageLabels: Readonly<Record<string, string>>;
};

/** A job that a caller wants signed. */
export type ByocProposal = {
  readonly requestId: string;
  readonly caller: Caller;
  readonly job: ByocJob;
  /** Unix nanoseconds */
  readonly now: bigint;
};

/** The price that every ceiling is compared with, in wei per billing unit. */
export function judgedPriceOf({ price, books }: PaymentProposal): Rational {
  return judgedPrice(price, books.initialPrice);
}

/**
 * Refuses a price above the ceilings. Where the orchestrator's price alone is too high, the refusal has the words of go-livepeer,
 * which compares only that.
 */
export function refuseAboveCeilings(
  proposal: PaymentProposal,
  ceilings: readonly PriceCeiling[],
): Refusal | undefined {
  return (
    refusePriceAboveCeilings(priceRatio(proposal.price), ceilings) ??
    refusePriceAboveCeilings(judgedPriceOf(proposal), ceilings)
  );
}

/** The facts that rules are evaluated over; the principal is still the one that the transport established. */
export function factsOf(proposal: PaymentProposal): PaymentFacts {
  const { books, params, quote, caller, chain, now } = proposal;
  return {
    kind: 'payment',
    principal: caller.principal,
    app: books.app,
    orchestrator: books.orchestratorAddress,
    recipient: params.recipient,
    models: proposal.models,
    type: proposal.type,
    price: judgedPriceOf(proposal),
    ticketEv: quote.ev,
    faceValue: params.faceValue,
    tickets: quote.ticketCount,
    session: {
      isNew: proposal.isNewSession,
      ev: books.spentEv ?? 0n,
      startedAt: sessionStart(books, now) * 1_000_000_000n,
    },
    weiPerUsd: { ofSession: sessionRate(books, chain), now: chain.weiPerUsd },
    now,
  };
}
