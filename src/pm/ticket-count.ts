import { type BillingRule, type PaymentType, type Price, feeFor } from './billing.ts';
import {
  type Rational,
  add,
  compare,
  divideRoundingUp,
  max,
  scale,
  subtract,
  zero,
} from './rational.ts';

/** go-livepeer's maximum of tickets in one payment. */
export const maxTicketsOfProtocol = 100;

/**
 * The number of tickets that raise the credit to at least `minCredit` (wei): 0 when it is there already, or when a ticket is
 * worth nothing (go-livepeer `Balance.StageUpdate`).
 */
export function ticketsToReach(minCredit: Rational, credit: Rational, ev: Rational): bigint {
  if (ev.numerator === 0n || compare(credit, minCredit) >= 0) return 0n;
  return divideRoundingUp(subtract(minCredit, credit), ev);
}

/** What the number of tickets depends on; all amounts in wei. */
export type TicketTerms = {
  /** left from the payments before */
  readonly credit: Rational;
  /** of this payment */
  readonly fee: Rational;
  /** of one ticket */
  readonly ev: Rational;
  /** the session's first price */
  readonly price: Price;
  /** tickets that the limits allow in one payment */
  readonly allowance: bigint;
};

/** Seconds of a `live` session that the kept credit is worth at least: as many as its first payment preloads. */
const keptLiveSeconds = 10n;

/**
 * The number of tickets due now. Upstream pays when the credit is below max(fee, EV), which lets the orchestrator's view of it
 * run out between two payments. The default rule pays for `lv2v` and `live` as soon as less than one ticket's EV would be left: n
 * = ceil((fee + EV − credit) / EV). For `live`, whose preload is short, it keeps as many whole tickets as are worth ten seconds,
 * so that one lost payment does not end a session that is polled every ten seconds; where a ticket's EV is worth ten seconds or
 * more, that is the same one ticket. Tickets beyond upstream's own number give way to the limits: a payment that upstream would
 * make is never refused because of them. Everything is rounded up, against the sender.
 */
export function ticketsDue(rule: BillingRule, type: PaymentType, terms: TicketTerms): bigint {
  const { credit, fee, ev, price, allowance } = terms;
  const asUpstream = ticketsToReach(max(fee, ev), credit, ev);
  if (rule === 'upstream' || (type !== 'lv2v' && type !== 'live')) return asUpstream;
  const keptTickets =
    type === 'live' ? ticketsToReach(feeFor(keptLiveSeconds, price), zero, ev) : 1n;
  const keeping = ticketsToReach(add(fee, scale(ev, keptTickets)), credit, ev);
  if (keeping <= allowance) return keeping;
  return asUpstream > allowance ? asUpstream : allowance;
}
