import type { BillingRule, PaymentType, Price } from './billing.ts';
import type { Address } from './bytes.ts';
import type { Rational } from './rational.ts';
import type { CarriedCredentials } from './segment-credentials.ts';

/**
 * The books of one payment session. The client carries them, sealed, from call to call. Field names follow
 * go-livepeer's `RemotePaymentState`; `recipient` and what follows it are ours.
 */
export type SessionState = {
  readonly stateId: string;
  /** the recipientRandHash of the parameters last used, `0x` and 64 hex digits */
  readonly pmSessionId: string;
  /** Unix nanoseconds of the last successful payment; undefined before the first */
  readonly lastUpdate: bigint | undefined;
  readonly orchestratorAddress: Address;
  readonly app: string;
  /** Unix seconds up to which the auth webhook's answer holds; 0 for none */
  readonly authExpiry: bigint;
  /** the last nonce used with `pmSessionId` */
  readonly senderNonce: number;
  /** wei of credit left after the last payment */
  readonly balance: Rational;
  /** the price of the session's first payment: what fees are computed with, and a ceiling */
  readonly initialPrice: Price;
  readonly type: PaymentType;
  readonly sequenceNumber: bigint;
  readonly authId: string;
  /** who the session's tickets pay; undefined in states that did not bind it */
  readonly recipient: Address | undefined;
  /** SHA-256 of the credential that `authExpiry` was granted to; undefined in states that did not bind it */
  readonly credentialHash: string | undefined;
  /** id of the principal whom the session belongs to; undefined where nobody was authenticated */
  readonly principal: string | undefined;
  /** Unix seconds of the first payment; undefined in states that did not record it */
  readonly startedAt: bigint | undefined;
  /** expected value in wei of all tickets so far, each payment's rounded up; undefined in states that did not record it */
  readonly spentEv: bigint | undefined;
  /** the rate that the session's amounts in USD are converted at, wei; undefined in states that did not record it */
  readonly weiPerUsd: Rational | undefined;
  /** the segment credentials signed last; undefined in states that don't carry them */
  readonly segmentCredentials: CarriedCredentials | undefined;
};

/** What a payment changes in the books. */
export type SessionUpdate = {
  readonly now: bigint;
  readonly pmSessionId: string;
  readonly senderNonce: number;
  readonly balance: Rational;
  /** expected value of the payment's tickets in wei, rounded up */
  readonly ev: bigint;
  /** wei, of the session; undefined while none is known */
  readonly weiPerUsd: Rational | undefined;
  readonly billingRule: BillingRule;
};

/**
 * The books after a payment. Time never runs backwards in them, so no time is billed twice. The rule `upstream` is the exception:
 * as in go-livepeer it takes over a clock that was set back, and bills the preload again while the last payment lies in the
 * future. Where the books don't tell when a session began, it is taken to have begun with its last payment.
 */
export function advanceSession(session: SessionState, update: SessionUpdate): SessionState {
  const { now, ev, billingRule, ...rest } = update;
  const { lastUpdate: before = now } = session;
  const lastUpdate = billingRule === 'keep-one-ticket' && before > now ? before : now;
  return {
    ...session,
    ...rest,
    lastUpdate,
    startedAt: sessionStart(session, now),
    spentEv: (session.spentEv ?? 0n) + ev,
  };
}

/** When the first payment was made, in Unix seconds, as far as the books tell; `now` is Unix nanoseconds. */
export function sessionStart(
  { startedAt, lastUpdate }: Pick<SessionState, 'startedAt' | 'lastUpdate'>,
  now: bigint,
): bigint {
  return startedAt ?? (lastUpdate ?? now) / 1_000_000_000n;
}
