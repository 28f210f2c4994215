import type { Principal } from '../../auth/principal.ts';
import type { PaymentType } from '../../pm/billing.ts';
import type { Address } from '../../pm/bytes.ts';
import { type Rational, divideRoundingUp, rational } from '../../pm/rational.ts';
import type { Spend } from '../limits/ledger.ts';
import type { CapabilityModel } from '../price-list.ts';

/** A payment as the rules of the policy file see it. */
export type PaymentFacts = {
  readonly principal: Principal;
  /** as the caller names it */
  readonly app: string;
  /** as the caller names it; whom the tickets pay is `recipient` */
  readonly orchestrator: Address;
  readonly recipient: Address;
  readonly models: readonly CapabilityModel[];
  readonly type: PaymentType;
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
    /** when the session began: for limits */
    readonly ofSession: Rational | undefined;
    /** for windows */
    readonly now: Rational | undefined;
  };
  /** Unix nanoseconds */
  readonly now: bigint;
};

const one = rational(1n);

/** What a payment takes out of windows: its expected value is rounded up to whole wei, against the spender. */
export function spendOf({ ticketEv, tickets, session }: PaymentFacts): Spend {
  // not in lowest terms, which the division does without
  const total = { numerator: ticketEv.numerator * tickets, denominator: ticketEv.denominator };
  return { ev: divideRoundingUp(total, one), tickets, sessions: session.isNew ? 1n : 0n };
}
