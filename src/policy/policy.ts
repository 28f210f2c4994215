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

/** What the signer signs for itself, and not for a request. */
export type OwnIntent = Extract<
  Intent,
  { kind: 'orchestrator-info' | 'self-test' | 'state-delegation' }
>;

export type Policy = {
  /** Whether the ticket parameters may be used, or the session must be refreshed first. */
  refuseParams(session: SessionFacts, authTokenExpiration: bigint): Refusal | undefined;
  /** How many tickets of these parameters one payment may hold at most. */
  ticketAllowance(params: TicketParams): bigint;
  /**
   * Decides on a payment, before any signature; this includes asking the auth webhook. Throws {@link AuthError} when the webhook
   * refuses or can't be asked, and `LEDGER_UNAVAILABLE` when it can't be known what room the windows have left.
   */
  decidePayment(proposal: PaymentProposal, signal: AbortSignal): Promise<PaymentVerdict>;
  /** Decides on a BYOC job. Throws `LEDGER_UNAVAILABLE`. */
  decideByocJob(proposal: ByocProposal, signal: AbortSignal): Promise<ByocVerdict>;
  grantOwn(intent: OwnIntent): Grant;
  /** Decides on the operator's transaction: its chain, contract, function and fee. */
  decideTransaction(transaction: BrokerTransaction): TransactionVerdict;
  /**
   * For the key gate: what a grant made here permits, once. Throws `GRANT_INVALID`, and what {@link Policy.requireSigning}
   * throws.
   */
  redeem(grant: Grant): Permission;
  /**
   * For the key gate, before each call of the key: throws where signing was stopped, except for a self-test. Throws
   * `SIGNING_PAUSED` and `SIGNING_SWITCH_UNAVAILABLE`.
   */
  requireSigning(intent: Intent): void;
};

export type PolicyOptions = Omit<PaymentDecisionOptions, 'grants'> & {
  /** absent where no transaction may be signed: everywhere except in the command `deposit` */
  readonly transactions?: TransactionRules | undefined;
  /** the operator's switch */
  readonly signingPermit: SigningPermit;
  /** monotonic milliseconds */
  readonly nowMs: () => number;
};

/** Creates the policy, the only place where permissions to use the key are made. */
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
