import type { BrokerTransaction } from '../keys/broker-transaction.ts';
import type { Grant, Permission } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';
import { refuseExpiringAuthToken } from '../pm/auth-token.ts';
import { lastNonceUsed, refuseUsedUpNonces } from '../pm/nonces.ts';
import type { Refusal } from '../pm/refusal.ts';
import { refuseTicketParams } from '../pm/ticket-params-validation.ts';
import type { TicketParams } from '../pm/ticket.ts';
import { type ByocVerdict, createByocDecision } from './decide-byoc-job.ts';
import {
  type PaymentDecisionOptions,
  type PaymentVerdict,
  createPaymentDecision,
  ticketAllowance,
} from './decide-payment.ts';
import { describeTransaction } from './grant-reasons.ts';
import { createGrantAuthority } from './grants.ts';
import type { ByocProposal, PaymentProposal, SessionFacts } from './proposal.ts';
import type { SigningPermit } from './switch/signing-switch.ts';
import { type TransactionRules, refuseTransaction } from './transactions.ts';

export type TransactionVerdict =
  | { readonly kind: 'deny'; readonly refusal: Refusal }
  | { readonly kind: 'allow'; readonly grant: Grant };

/** What the signer signs of its own accord, and not for a request. */
export type OwnIntent = Extract<
  Intent,
  { kind: 'orchestrator-info' | 'self-test' | 'state-delegation' }
>;

export type Policy = {
  /** "Are the ticket parameters fit for use?" Or must the session be refreshed first? */
  refuseParams(session: SessionFacts, authTokenExpiration: bigint): Refusal | undefined;
  /** How many tickets of these parameters one payment may hold at most. */
  ticketAllowance(params: TicketParams): bigint;
  /**
   * The decision over a payment, the auth webhook included, before any signature. Throws {@link AuthError} when the webhook
   * says no or can't be asked, `LEDGER_UNAVAILABLE` when it can't be known what the windows have left.
   */
  decidePayment(proposal: PaymentProposal, signal: AbortSignal): Promise<PaymentVerdict>;
  /** The same over a BYOC job. Throws `LEDGER_UNAVAILABLE`. */
  decideByocJob(proposal: ByocProposal, signal: AbortSignal): Promise<ByocVerdict>;
  grantOwn(intent: OwnIntent): Grant;
  /** Whether the operator's transaction may be signed: its chain, contract, function and fee. */
  decideTransaction(transaction: BrokerTransaction): TransactionVerdict;
  /** For the key gate: what a grant made here permits, once. Throws `GRANT_INVALID`, and as {@link Policy.requireSigning}. */
  redeem(grant: Grant): Permission;
  /**
   * For the key gate, before each call of the key: nobody has stopped signing. A self-test may be signed all the same. Throws
   * `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`.
   */
  requireSigning(intent: Intent): void;
};

export type PolicyOptions = Omit<PaymentDecisionOptions, 'grants'> & {
  /** absent where no transaction may be signed: in everything but the command line's `deposit` */
  readonly transactions?: TransactionRules | undefined;
  /** the operator's switch */
  readonly signingPermit: SigningPermit;
  /** monotonic milliseconds */
  readonly nowMs: () => number;
};

/** The one place where permissions to use the key are made. */
export function createPolicy({
  transactions,
  signingPermit,
  nowMs,
  ...options
}: PolicyOptions): Policy {
  const { limits } = options.guardrails;
  const grants = createGrantAuthority(nowMs);

  function requireSigning({ kind }: Intent): void {
    if (kind !== 'self-test') signingPermit.requireNow();
  }

  return {
    refuseParams({ params, books, chain, now }, authTokenExpiration) {
      return (
        refuseExpiringAuthToken(authTokenExpiration, now) ??
        refuseTicketParams(params, 1n, chain, limits) ??
        refuseUsedUpNonces(lastNonceUsed(books, params.recipientRandHash))
      );
    },

    ticketAllowance: (params) => ticketAllowance(params, options.guardrails),

    decidePayment: createPaymentDecision({ ...options, grants }),

    decideByocJob: createByocDecision({ ...options, grants }),

    grantOwn: (intent) => grants.issue(intent, {}),

    decideTransaction(transaction) {
      const refusal = refuseTransaction(transaction, transactions);
      if (refusal) return { kind: 'deny', refusal };
      const intent = { kind: 'broker-transaction', transaction } as const;
      return { kind: 'allow', grant: grants.issue(intent, describeTransaction(transaction)) };
    },

    redeem(grant) {
      const permission = grants.redeem(grant);
      requireSigning(permission.intent);
      return permission;
    },

    requireSigning,
  };
}
