import type { Authorization, PaymentAuthorizer } from '../auth/authorization.ts';
import { type Principal, anonymous, principalOfAuthId } from '../auth/principal.ts';
import type { BrokerTransaction } from '../keys/broker-transaction.ts';
import type { Grant, Permission } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';
import { refuseExpiringAuthToken } from '../pm/auth-token.ts';
import { priceRatio } from '../pm/billing.ts';
import { lastNonceUsed, refuseUsedUpNonces } from '../pm/nonces.ts';
import { refusePriceAboveCeilings } from '../pm/price-ceilings.ts';
import { divideRoundingDown } from '../pm/rational.ts';
import type { Refusal } from '../pm/refusal.ts';
import { hashManifestId, refuseManifestId } from '../pm/segment-credentials.ts';
import { type SessionState, advanceSession } from '../pm/session-state.ts';
import { type TicketLimits, refuseTicketParams } from '../pm/ticket-params-validation.ts';
import { type Ticket, type TicketParams, expectedValue } from '../pm/ticket.ts';
import { drawUpTickets } from '../pm/tickets.ts';
import { describeTransaction, reasonOf } from './grant-reasons.ts';
import { createGrantAuthority } from './grants.ts';
import type { ReserveOutcome, Spend, SpendLedger, WindowCharge } from './limits/ledger.ts';
import { type PriceList, configuredCeiling } from './price-list.ts';
import { type PaymentProposal, type SessionFacts, factsOf } from './proposal.ts';
import type { CompiledPolicy } from './rules/compile.ts';
import { describeExhausted, evaluateRules } from './rules/evaluate.ts';
import { spendOf } from './rules/facts.ts';
import {
  isStillAuthorized,
  refuseAboveWebhookCeiling,
  requireOwner,
  withAuthorization,
} from './session-authorization.ts';
import { type TransactionRules, refuseTransaction } from './transactions.ts';

/** The operator's guardrails. */
export type Guardrails = {
  readonly limits: TicketLimits;
  readonly prices: PriceList;
  /** tickets in one payment */
  readonly maxTickets: bigint;
  /** what happens to another request with a state that was used before */
  readonly forks: 'count' | 'deny';
};

export type PaymentVerdict =
  | {
      readonly kind: 'deny';
      readonly refusal: Refusal;
      /** undefined where no rule of the policy file refused */
      readonly ruleId: string | undefined;
      /** who asked, where it was established later than by the transport */
      readonly principal: Principal | undefined;
    }
  | ({ readonly kind: 'allow' } & AllowedPayment);

export type AllowedPayment = {
  readonly tickets: readonly Ticket[];
  /** the books after the payment */
  readonly books: SessionState;
  readonly ticketBatch: Grant;
  /** to sign them, or the signature (65 bytes) that the session carries for this manifest id already */
  readonly segmentCredentials: Grant | Uint8Array;
  /** the grant to seal these books, as encoded */
  sealBooks(intent: Extract<Intent, { kind: 'session-state' }>): Grant;
  readonly principal: Principal;
  /** the rules that matched, and those in observe mode that would have denied */
  readonly rules: readonly string[];
  readonly observed: readonly string[];
  /** Gives back what the windows had reserved: no signature left the gate. Never throws. */
  release(): Promise<void>;
};

export type TransactionVerdict =
  | { readonly kind: 'deny'; readonly refusal: Refusal }
  | { readonly kind: 'allow'; readonly grant: Grant };

/** What the signer signs of its own accord, and not for a request. */
export type OwnIntent = Extract<
  Intent,
  { kind: 'orchestrator-info' | 'self-test' | 'state-delegation' }
>;

export type Policy = {
  /** Whether the session must be refreshed first, or its parameters can't be used at all: rows 15 and 16. */
  refuseParams(session: SessionFacts, authTokenExpiration: bigint): Refusal | undefined;
  /** How many tickets of these parameters one payment may hold at most. */
  ticketAllowance(params: TicketParams): bigint;
  /**
   * The decision over a payment: rows 21 to 29 of the protocol's order of checks, the auth webhook included, before
   * any signature; then the rules of the policy file, and room in their windows. Throws {@link AuthError} when the webhook
   * says no or can't be asked, `LEDGER_UNAVAILABLE` when it can't be known what the windows have left.
   */
  decidePayment(proposal: PaymentProposal, signal: AbortSignal): Promise<PaymentVerdict>;
  grantOwn(intent: OwnIntent): Grant;
  /** Whether the operator's transaction may be signed: its chain, contract, function and fee. */
  decideTransaction(transaction: BrokerTransaction): TransactionVerdict;
  /** For the key gate: what a grant made here permits, once. */
  redeem(grant: Grant): Permission;
};

export type PolicyOptions = {
  readonly guardrails: Guardrails;
  /** undefined when nobody outside is asked */
  readonly authorize: PaymentAuthorizer | undefined;
  /** the rules in force, asked for at each payment */
  readonly rules: () => CompiledPolicy;
  /** where windows are kept; opened when the first rule has one */
  readonly ledger: () => Promise<SpendLedger>;
  /** absent where no transaction may be signed: in everything but the command line's `deposit` */
  readonly transactions?: TransactionRules | undefined;
  /** monotonic milliseconds */
  readonly nowMs: () => number;
};

const nothingReserved: ReserveOutcome = {
  kind: 'reserved',
  observed: [],
  release: () => Promise.resolve(),
};

/** The one place where permissions to use the key are made. */
export function createPolicy({
  guardrails,
  authorize,
  rules,
  ledger,
  transactions,
  nowMs,
}: PolicyOptions): Policy {
  const { limits, prices, maxTickets, forks } = guardrails;
  const grants = createGrantAuthority(nowMs);

  function refusePayment(proposal: PaymentProposal): Refusal | undefined {
    const { quote, params, chain, books, type, models } = proposal;
    const aboveCeiling = refusePriceAboveCeilings(priceRatio(proposal.price), [
      {
        source: 'configured maximum price',
        maximum: configuredCeiling(prices, type, models),
      },
      { source: 'request maxPrice', maximum: proposal.requestMaxPrice },
      {
        source: 'initial session price',
        maximum: proposal.isNewSession ? undefined : priceRatio(books.initialPrice),
      },
    ]);
    if (aboveCeiling) return aboveCeiling;
    if (quote.ticketCount <= 0n) return { code: 'NO_TICKETS_DUE', message: 'no tickets' };
    if (quote.ticketCount > maxTickets) {
      return {
        code: 'TICKET_COUNT_ABOVE_MAXIMUM',
        message: `numTickets ${quote.ticketCount.toString()} exceeds maximum of ${maxTickets.toString()}`,
      };
    }
    return (
      refuseTicketParams(params, quote.ticketCount, chain, limits) ??
      refuseManifestId(proposal.manifestId)
    );
  }

  async function reserve(
    charges: readonly WindowCharge[],
    spend: Spend,
    signal: AbortSignal,
  ): Promise<ReserveOutcome> {
    if (charges.length === 0) return nothingReserved;
    return (await ledger()).reserve(charges, spend, signal);
  }

  return {
    refuseParams({ params, books, chain, now }, authTokenExpiration) {
      return (
        refuseExpiringAuthToken(authTokenExpiration, now) ??
        refuseTicketParams(params, 1n, chain, limits) ??
        refuseUsedUpNonces(lastNonceUsed(books, params.recipientRandHash))
      );
    },

    ticketAllowance(params) {
      const ev = expectedValue(params);
      if (ev.numerator === 0n) return maxTickets;
      const byTotalEv = divideRoundingDown(limits.maxTotalEv, ev);
      return byTotalEv < maxTickets ? byTotalEv : maxTickets;
    },

    async decidePayment(proposal, signal) {
      const refusal = refusePayment(proposal);
      if (refusal) return deny(refusal);
      requireOwner(proposal.books, proposal.caller);
      if (proposal.isFork && forks === 'deny') {
        return deny({
          code: 'STATE_FORKED',
          message: 'another request has used this state before',
        });
      }

      const { params, quote, chain, caller, manifestId } = proposal;
      const ticketCount = Number(quote.ticketCount);
      const payment = factsOf(proposal);
      const spend = spendOf(payment);
      const projected = advanceSession(proposal.books, {
        now: proposal.now,
        pmSessionId: params.recipientRandHash,
        senderNonce: quote.lastNonce + ticketCount,
        balance: quote.balance,
        ev: spend.ev,
      });
      let authorization: Authorization | undefined;
      if (authorize && !isStillAuthorized(proposal.books, caller, proposal.now)) {
        authorization = await authorize(caller, projected, signal);
        const aboveWebhookCeiling = refuseAboveWebhookCeiling(proposal, authorization);
        if (aboveWebhookCeiling) return deny(aboveWebhookCeiling);
      }
      const books = withAuthorization(projected, caller, authorization);
      const principal =
        caller.principal === anonymous ? principalOfAuthId(books.authId) : caller.principal;

      const verdict = evaluateRules(rules(), { ...payment, principal });
      if (verdict.kind === 'deny') return deny(verdict.refusal, { ...verdict, principal });
      const reservation = await reserve(verdict.charges, spend, signal);
      if (reservation.kind === 'exceeded') {
        const { ruleId } = reservation;
        return deny(describeExhausted(reservation, verdict.charges), { ruleId, principal });
      }

      const observed = [...verdict.observed, ...reservation.observed];
      const reason = reasonOf(proposal, books, principal, verdict.matched, observed, spend.ev);
      const tickets = drawUpTickets(
        params,
        proposal.sender,
        chain.lastInitializedRound,
        quote.lastNonce,
        ticketCount,
      );
      return {
        kind: 'allow',
        tickets,
        books,
        ticketBatch: grants.issue({ kind: 'ticket-batch', tickets }, reason),
        segmentCredentials:
          carriedCredentials(books, manifestId) ??
          grants.issue({ kind: 'segment-credentials', manifestId }, reason),
        sealBooks: (intent) => grants.issue(intent, reason),
        principal,
        rules: verdict.matched,
        observed,
        release: () => reservation.release(),
      };
    },

    grantOwn: (intent) => grants.issue(intent, {}),

    decideTransaction(transaction) {
      const refusal = refuseTransaction(transaction, transactions);
      if (refusal) return { kind: 'deny', refusal };
      const intent = { kind: 'broker-transaction', transaction } as const;
      return { kind: 'allow', grant: grants.issue(intent, describeTransaction(transaction)) };
    },

    redeem: (grant) => grants.redeem(grant),
  };
}

type DeniedPayment = Extract<PaymentVerdict, { kind: 'deny' }>;

function deny(
  refusal: Refusal,
  { ruleId, principal }: Partial<Pick<DeniedPayment, 'ruleId' | 'principal'>> = {},
): DeniedPayment {
  return { kind: 'deny', refusal, ruleId, principal };
}

function carriedCredentials(
  { segmentCredentials }: SessionState,
  manifestId: string,
): Uint8Array | undefined {
  return segmentCredentials?.manifestIdHash === hashManifestId(manifestId)
    ? segmentCredentials.signature
    : undefined;
}
