import { describe, expect, it } from 'vitest';
import type { PaymentType } from '../../src/pm/billing.ts';
import {
  type Rational,
  add,
  compare,
  max,
  rational,
  scale,
  subtract,
  zero,
} from '../../src/pm/rational.ts';
import { type TicketTerms, ticketsDue, ticketsToReach } from '../../src/pm/ticket-count.ts';
import { anyAmount, anyCredit } from './arbitraries.ts';
import { fc } from '../support/fast-check.ts';

const unlimited = 2n ** 600n;
const wei = (value: bigint | number) => rational(BigInt(value));

/** Credit after a payment: what was there, and the tickets, less the fee. */
function creditAfter({ credit, fee, ev }: TicketTerms, tickets: bigint): Rational {
  return subtract(add(credit, scale(ev, tickets)), fee);
}

const anyTerms: fc.Arbitrary<TicketTerms> = fc.record({
  credit: anyCredit,
  fee: anyCredit,
  ev: anyAmount,
  price: fc.record({
    pricePerUnit: fc.bigInt({ min: 1n, max: 10n ** 14n }),
    pixelsPerUnit: fc.bigInt({ min: 1n, max: 10n ** 6n }),
  }),
  allowance: fc.constant(unlimited),
});

function terms(
  amounts: { credit: number; fee: number; ev: number; price?: number },
  allowance = unlimited,
): TicketTerms {
  return {
    credit: wei(amounts.credit),
    fee: wei(amounts.fee),
    ev: wei(amounts.ev),
    price: { pricePerUnit: BigInt(amounts.price ?? 0), pixelsPerUnit: 1n },
    allowance,
  };
}

describe('ticketsToReach', () => {
  it('is the least number of tickets that lifts the credit to the minimum', () => {
    fc.assert(
      fc.property(anyCredit, anyCredit, anyAmount, (minCredit, credit, ev) => {
        const count = ticketsToReach(minCredit, credit, ev);
        expect(compare(add(credit, scale(ev, count)), minCredit) >= 0).toBe(true);
        if (count > 0n) {
          expect(compare(add(credit, scale(ev, count - 1n)), minCredit)).toBe(-1);
        }
      }),
    );
  });

  it('is 0 for tickets that are worth nothing, and where the credit is reached exactly', () => {
    expect(ticketsToReach(wei(10), zero, zero)).toBe(0n);
    expect(ticketsToReach(wei(10), wei(10), wei(3))).toBe(0n);
    expect(ticketsToReach(wei(10), rational(999n, 100n), wei(3))).toBe(1n);
  });
});

describe('keep-one-ticket', () => {
  it.each(['lv2v', 'live'] as const)(
    'leaves at least one ticket’s EV of credit after a payment of type %s',
    (type) => {
      fc.assert(
        fc.property(anyTerms, (given) => {
          const tickets = ticketsDue('keep-one-ticket', type, given);
          expect(compare(creditAfter(given, tickets), given.ev) >= 0).toBe(true);
        }),
      );
    },
  );

  it('takes the least number of lv2v tickets that does so', () => {
    fc.assert(
      fc.property(anyTerms, (given) => {
        const tickets = ticketsDue('keep-one-ticket', 'lv2v', given);
        if (tickets > 0n) {
          expect(compare(creditAfter(given, tickets - 1n), given.ev)).toBe(-1);
        }
      }),
    );
  });

  it('is ceil((fee + EV - credit) / EV) for lv2v, and 0 once that is not positive', () => {
    fc.assert(
      fc.property(anyTerms, (given) => {
        const missing = subtract(add(given.fee, given.ev), given.credit);
        const [a, b] = [
          missing.numerator * given.ev.denominator,
          missing.denominator * given.ev.numerator,
        ];
        const expected = a <= 0n ? 0n : (a + b - 1n) / b;
        expect(ticketsDue('keep-one-ticket', 'lv2v', given)).toBe(expected);
      }),
    );
  });

  it('keeps, for live, the fewest whole tickets worth ten seconds, which is one when a ticket is worth that', () => {
    fc.assert(
      fc.property(anyTerms, (given) => {
        const tenSeconds = rational(10n * given.price.pricePerUnit, given.price.pixelsPerUnit);
        const tickets = ticketsDue('keep-one-ticket', 'live', given);
        const left = creditAfter(given, tickets);
        expect(compare(left, tenSeconds) >= 0).toBe(true);
        if (compare(given.ev, tenSeconds) >= 0) {
          expect(tickets).toBe(ticketsDue('keep-one-ticket', 'lv2v', given));
        }
        const excess = subtract(left, add(tenSeconds, scale(given.ev, 2n)));
        if (tickets > 0n) expect(excess.numerator < 0n).toBe(true);
      }),
    );
  });

  it.each([
    [{ credit: 0, fee: 5, ev: 10 }, 2n],
    [{ credit: 15, fee: 5, ev: 10 }, 0n],
    [{ credit: 14, fee: 5, ev: 10 }, 1n],
    [{ credit: 0, fee: 100, ev: 10 }, 11n],
    [{ credit: 0, fee: 0, ev: 10 }, 1n],
    [{ credit: 10, fee: 0, ev: 10 }, 0n],
    [{ credit: 9, fee: 0, ev: 10 }, 1n],
  ])('makes of %o in lv2v %s tickets', (amounts, tickets) => {
    expect(ticketsDue('keep-one-ticket', 'lv2v', terms(amounts))).toBe(tickets);
  });

  it.each(['fixed', ''] as const)('is upstream’s rule for the type %j', (type) => {
    fc.assert(
      fc.property(anyTerms, (given) => {
        expect(ticketsDue('keep-one-ticket', type, given)).toBe(
          ticketsDue('upstream', type, given),
        );
      }),
    );
  });

  it.each(['lv2v', 'live'] as const)(
    'never asks for fewer tickets than upstream in %s, and lets only its own surplus give way to the allowance',
    (type) => {
      fc.assert(
        fc.property(anyTerms, fc.bigInt({ min: 0n, max: 200n }), (given, allowance) => {
          const wanted = ticketsDue('keep-one-ticket', type, given);
          const upstream = ticketsDue('upstream', type, given);
          const limited = ticketsDue('keep-one-ticket', type, { ...given, allowance });
          expect(wanted >= upstream).toBe(true);
          expect(limited >= upstream && limited <= wanted).toBe(true);
          if (wanted <= allowance) expect(limited).toBe(wanted);
          else expect(limited).toBe(upstream > allowance ? upstream : allowance);
        }),
      );
    },
  );
});

describe('upstream', () => {
  const types: readonly PaymentType[] = ['lv2v', 'live', 'fixed', ''];

  it('covers max(fee, EV) with the least number of tickets, whatever the type', () => {
    fc.assert(
      fc.property(anyTerms, fc.constantFrom(...types), (given, type) => {
        const tickets = ticketsDue('upstream', type, given);
        const needed = max(given.fee, given.ev);
        const reached = add(given.credit, scale(given.ev, tickets));
        expect(compare(reached, needed) >= 0).toBe(true);
        if (tickets > 0n) expect(compare(subtract(reached, given.ev), needed)).toBe(-1);
      }),
    );
  });

  it('takes no notice of the allowance', () => {
    expect(ticketsDue('upstream', 'lv2v', terms({ credit: 0, fee: 50, ev: 1 }, 3n))).toBe(50n);
  });

  it.each([
    [{ credit: 0, fee: 5, ev: 10 }, 1n],
    [{ credit: 10, fee: 5, ev: 10 }, 0n],
    [{ credit: 9, fee: 5, ev: 10 }, 1n],
    [{ credit: 0, fee: 100, ev: 10 }, 10n],
    [{ credit: 0, fee: 101, ev: 10 }, 11n],
  ])('makes of %o %s tickets', (amounts, tickets) => {
    expect(ticketsDue('upstream', 'lv2v', terms(amounts))).toBe(tickets);
  });
});

describe('tickets that are worth nothing', () => {
  it('are never due', () => {
    for (const rule of ['upstream', 'keep-one-ticket'] as const) {
      for (const type of ['lv2v', 'live', 'fixed', ''] as const) {
        expect(ticketsDue(rule, type, terms({ credit: 0, fee: 5, ev: 0, price: 3 }))).toBe(0n);
      }
    }
  });
});
