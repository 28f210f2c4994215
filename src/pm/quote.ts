import {
  type BillableUse,
  type BillingRule,
  type PaymentType,
  billableUse,
  feeFor,
} from './billing.ts';
import { lastNonceUsed } from './nonces.ts';
import { type Rational, add, scale, subtract } from './rational.ts';
import type { Refusal } from './refusal.ts';
import type { SessionState } from './session-state.ts';
import { type TicketParams, expectedValue } from './ticket.ts';
import { ticketsDue } from './ticket-count.ts';

/** What a payment would cost and how many tickets it takes; nothing is decided yet. */
export type Quote = {
  readonly use: BillableUse;
  /** wei */
  readonly fee: Rational;
  /** wei, of one ticket */
  readonly ev: Rational;
  readonly ticketCount: bigint;
  /** wei of credit after the payment */
  readonly balance: Rational;
  /** the nonce before the payment's first ticket */
  readonly lastNonce: number;
};

/** The same payment with fewer tickets: what they don't pay is owed by the next payment. */
export function payInPart(quote: Quote, ticketCount: bigint): Quote {
  const unpaid = scale(quote.ev, quote.ticketCount - ticketCount);
  return { ...quote, ticketCount, balance: subtract(quote.balance, unpaid) };
}

/** The billable use of a request: its type must be known, and there must be something to bill. */
export function meterUse(
  session: SessionState,
  type: PaymentType | undefined,
  inPixels: bigint,
  now: bigint,
  rule: BillingRule,
): BillableUse | Refusal {
  if (type === undefined) return { code: 'JOB_TYPE_UNKNOWN', data: {} };
  const elapsed = session.lastUpdate === undefined ? undefined : now - session.lastUpdate;
  return billableUse(type, elapsed, inPixels, rule);
}

/**
 * Prices a metered use: fee at the session's first price, tickets due, and the credit that would be left.
 * `allowance` is how many tickets the limits allow in one payment.
 */
export function quotePayment(
  session: SessionState,
  params: TicketParams,
  use: BillableUse,
  rule: BillingRule,
  allowance: bigint,
): Quote {
  const price = session.initialPrice;
  const fee = feeFor(use.units, price);
  const ev = expectedValue(params);
  const ticketCount = ticketsDue(rule, session.type, {
    credit: session.balance,
    fee,
    ev,
    price,
    allowance,
  });
  return {
    use,
    fee,
    ev,
    ticketCount,
    balance: subtract(add(session.balance, scale(ev, ticketCount)), fee),
    lastNonce: lastNonceUsed(session, params.recipientRandHash),
  };
}
