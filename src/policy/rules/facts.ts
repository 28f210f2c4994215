import type { Principal } from '../../auth/principal.ts';
import type { PaymentType } from '../../pm/billing.ts';
import type { Address } from '../../pm/bytes.ts';
import { type Rational, divideRoundingUp, rational, zero } from '../../pm/rational.ts';
import type { Spend } from '../limits/ledger.ts';
import type { CapabilityModel } from '../price-list.ts';

/** What a caller may ask to have signed. */
export type RequestKind = 'payment' | 'byocJob';

/**
 * A payment as the rules of the policy file see it. A BYOC job has the same form: it has no value of its own, and takes one
 * ticket out of windows for its signature.
 */
export type PaymentFacts = {
  readonly kind: RequestKind;
  readonly principal: Principal;
  /** as the caller names it */
  readonly app: string;
  /** as the caller names it; the tickets pay `recipient`. undefined for a BYOC job */
  readonly orchestrator: Address | undefined;
  readonly recipient: Address | undefined;
  readonly models: readonly CapabilityModel[];
  readonly type: PaymentType | undefined;
  /** wei per billing unit */
  readonly price: Rational;
  /** wei, of one ticket */
  readonly ticketEv: Rational;
  /** wei, of one ticket */
  readonly faceValue: bigint;
  readonly tickets: bigint;
  readonly session: {
    readonly isNew: boolean;
    /** wei of expected value before this payment, rounded up */
    readonly ev: bigint;
    /** Unix nanoseconds */
    readonly startedAt: bigint;
  };
  /** what a US dollar is worth; undefined while that is not known */
  readonly weiPerUsd: {
    /** the rate when the session began: for limits */
    readonly ofSession: Rational | undefined;
    /** the present rate: for windows */
    readonly now: Rational | undefined;
  };
  /** Unix nanoseconds */
  readonly now: bigint;
};

const one = rational(1n);

/** A BYOC job as rules see it. `now` is Unix nanoseconds. */
export function byocJobFacts(
  principal: Principal,
  models: readonly CapabilityModel[],
  now: bigint,
): PaymentFacts {
  return {
    kind: 'byocJob',
    principal,
    app: '',
    orchestrator: undefined,
    recipient: undefined,
    models,
    type: undefined,
    price: zero,
    ticketEv: zero,
    faceValue: 0n,
    tickets: 1n,
    session: { isNew: false, ev: 0n, startedAt: now },
    weiPerUsd: { ofSession: undefined, now: undefined },
    now,
  };
}

/** What a payment takes out of windows. Its expected value is rounded up to whole wei, against the spender. */
export function spendOf({ ticketEv, tickets, session }: PaymentFacts): Spend {
  // not in lowest terms, which the division does not need
  const total = { numerator: ticketEv.numerator * tickets, denominator: ticketEv.denominator };
  return { ev: divideRoundingUp(total, one), tickets, sessions: session.isNew ? 1n : 0n };
}
