import {
  AuthError,
  type Authorization,
  type Caller,
  type PaymentAuthorizer,
} from '../auth/authorization.ts';
import type { ChainFacts } from '../chain/facts.ts';
import type { BrokerTransaction } from '../keys/broker-transaction.ts';
import { type Principal, anonymous, principalOfAuthId } from '../auth/principal.ts';
import type { Grant, GrantReason, Permission } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';
import { refuseExpiringAuthToken } from '../pm/auth-token.ts';
import type { PaymentType, Price } from '../pm/billing.ts';
import { priceRatio } from '../pm/billing.ts';
import type { Address } from '../pm/bytes.ts';
import { lastNonceUsed, refuseUsedUpNonces } from '../pm/nonces.ts';
import { parseMaxPrice, refusePriceAboveCeilings } from '../pm/price-ceilings.ts';
import type { Quote } from '../pm/quote.ts';
import { type Rational, divideRoundingDown, formatDecimal } from '../pm/rational.ts';
import type { Refusal } from '../pm/refusal.ts';
import { hashManifestId, refuseManifestId } from '../pm/segment-credentials.ts';
import { type SessionState, advanceSession } from '../pm/session-state.ts';
import { type TicketLimits, refuseTicketParams } from '../pm/ticket-params-validation.ts';
import { type Ticket, type TicketParams, expectedValue } from '../pm/ticket.ts';
import { drawUpTickets } from '../pm/tickets.ts';
import { createGrantAuthority } from './grants.ts';
import type { ReserveOutcome, Spend, SpendLedger, WindowCharge } from './limits/ledger.ts';
import { type CapabilityModel, type PriceList, configuredCeiling } from './price-list.ts';
import { describeExhausted, evaluateRules } from './rules/evaluate.ts';
import { type PaymentFacts, spendOf } from './rules/facts.ts';
import type { CompiledPolicy } from './rules/compile.ts';
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

/** A session and the parameters it is to be continued with. */
export type SessionFacts = {
  readonly params: TicketParams;
  readonly books: SessionState;
  readonly chain: ChainFacts;
  /** Unix nanoseconds */
  readonly now: bigint;
};

/** A payment as it would be made; nothing of it is signed yet. */
export type PaymentProposal = SessionFacts & {
  readonly requestId: string;
  readonly sender: Address;
  readonly caller: Caller;
  readonly type: PaymentType;
  readonly quote: Quote;
  /** the orchestrator's price now */
  readonly price: Price;
  /** wei per billing unit */
  readonly requestMaxPrice: Rational | undefined;
  readonly isNewSession: boolean;
  /** another request has used the session's state before */
  readonly isFork: boolean;
  readonly models: readonly CapabilityModel[];
  readonly manifestId: string;
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

/** What rules are evaluated over; the principal is still the transport's. */
function factsOf({
  books,
  params,
  quote,
  caller,
  price,
  now,
  ...proposal
}: PaymentProposal): PaymentFacts {
  return {
    principal: caller.principal,
    app: books.app,
    orchestrator: books.orchestratorAddress,
    recipient: params.recipient,
    models: proposal.models,
    type: proposal.type,
    price: priceRatio(price),
    ticketEv: quote.ev,
    faceValue: params.faceValue,
    tickets: quote.ticketCount,
    session: {
      isNew: proposal.isNewSession,
      ev: books.spentEv ?? 0n,
      startedAt: books.startedAt === undefined ? now : books.startedAt * 1_000_000_000n,
    },
    now,
  };
}

/** What the audit record says of a payment. */
function reasonOf(
  { requestId, quote, params, manifestId, isFork }: PaymentProposal,
  books: SessionState,
  principal: Principal,
  rules: readonly string[],
  observed: readonly string[],
  ev: bigint,
): GrantReason {
  return {
    requestId,
    principal: principal.id,
    tenant: principal.tenant,
    rules,
    observed,
    amounts: {
      evWei: ev.toString(),
      feeWei: formatDecimal(quote.fee, 0),
      faceValueWei: params.faceValue.toString(),
      tickets: quote.ticketCount.toString(),
    },
    subject: {
      session: books.stateId,
      sequence: books.sequenceNumber.toString(),
      app: books.app,
      type: books.type,
      orchestrator: books.orchestratorAddress,
      recipient: params.recipient,
      manifestId,
      ...(isFork && { fork: 'true' }),
    },
  };
}

function describeTransaction({
  call,
  broker,
  chainId,
  gasLimit,
  maxFeePerGas,
}: BrokerTransaction): GrantReason {
  return {
    amounts: { maxFeeWei: (gasLimit * maxFeePerGas).toString() },
    subject: { function: call.name, broker, chainId: chainId.toString() },
  };
}

/**
 * Whether the webhook's earlier answer still holds: not expired, and, where the state says whose it was, for the
 * same credential.
 */
function isStillAuthorized(books: SessionState, caller: Caller, now: bigint): boolean {
  const nowSeconds = now / 1_000_000_000n;
  const isSameCaller =
    books.credentialHash === undefined || books.credentialHash === caller.credentialHash;
  return books.authExpiry !== 0n && nowSeconds <= books.authExpiry && isSameCaller;
}

function carriedCredentials(
  { segmentCredentials }: SessionState,
  manifestId: string,
): Uint8Array | undefined {
  return segmentCredentials?.manifestIdHash === hashManifestId(manifestId)
    ? segmentCredentials.signature
    : undefined;
}

function refuseAboveWebhookCeiling(
  { price, type }: PaymentProposal,
  { maxPrice }: Authorization,
): Refusal | undefined {
  if (!maxPrice) return undefined;
  const maximum = parseMaxPrice(maxPrice, type);
  if ('code' in maximum) {
    throw new AuthError(
      'AUTH_WEBHOOK_ANSWER_INVALID',
      `signer auth invalid maxPrice: ${maximum.message}`,
    );
  }
  return refusePriceAboveCeilings(priceRatio(price), [
    { source: 'auth webhook maxPrice', maximum },
  ]);
}

/** The books with who pays and until when that holds; a session never changes its payer. */
function withAuthorization(
  books: SessionState,
  caller: Caller,
  authorization: Authorization | undefined,
): SessionState {
  const { id } = caller.principal;
  if (books.principal !== undefined && books.principal !== id) {
    throw new AuthError('CREDENTIAL_NOT_PERMITTED', 'the session belongs to another principal');
  }
  const given = authorization?.authId ?? '';
  const authId = given === '' ? caller.authId : given;
  if (authId !== '' && books.authId !== '' && authId !== books.authId) {
    throw new AuthError('AUTH_ID_CHANGED', 'remote signer auth ID changed');
  }
  return {
    ...books,
    authId: authId === '' ? books.authId : authId,
    ...(id !== '' && { principal: id }),
    ...(authorization && {
      authExpiry: authorization.expiry,
      credentialHash: caller.credentialHash,
    }),
  };
}
