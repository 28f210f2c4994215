import { describe, expect, it } from 'vitest';
import { unitsPerHour } from '../../src/pm/billing.ts';
import { meterUse, payInPart } from '../../src/pm/quote.ts';
import { rational } from '../../src/pm/rational.ts';
import { type SessionState, advanceSession } from '../../src/pm/session-state.ts';
import { defaultTicketLimits } from '../../src/pm/ticket-params-validation.ts';

const second = 1_000_000_000n;

describe('a quote paid in part', () => {
  it('owes the tickets that are left out, at their expected value', () => {
    const quote = {
      use: { units: 5n, billedNanoseconds: 3n },
      fee: rational(10n),
      ev: rational(7n, 2n),
      ticketCount: 5n,
      balance: rational(1n),
      lastNonce: 4,
    };
    const part = payInPart(quote, 3n);
    expect(part).toEqual({ ...quote, ticketCount: 3n, balance: part.balance });
    expect(part.balance.numerator).toBe(-6n * part.balance.denominator);
  });
});

describe('the use of a request', () => {
  const session = { lastUpdate: 5n * second } as SessionState;

  it('has a type', () => {
    expect(meterUse(session, undefined, 1n, second, 'upstream')).toEqual({
      code: 'JOB_TYPE_UNKNOWN',
      data: {},
    });
  });

  it('is the time since the last payment', () => {
    const use = meterUse(session, 'live', 0n, 12n * second, 'keep-one-ticket');
    expect(use).toEqual({ units: 7n, billedNanoseconds: 7n * second });
    const first = meterUse(
      { ...session, lastUpdate: undefined },
      'live',
      0n,
      12n * second,
      'upstream',
    );
    expect(first).toEqual({ units: 10n, billedNanoseconds: 10n * second });
  });
});

describe('the books after a payment', () => {
  const update = {
    now: 9n * second,
    pmSessionId: '0x',
    senderNonce: 1,
    balance: rational(0n),
    ev: 5n,
    weiPerUsd: undefined,
    billingRule: 'keep-one-ticket',
  } as const;

  it('count what is spent from 0 where they did not record it', () => {
    const session = { lastUpdate: undefined, startedAt: undefined } as SessionState;
    expect(advanceSession(session, update)).toMatchObject({ spentEv: 5n, startedAt: 9n });
    expect(advanceSession({ ...session, spentEv: 2n }, update).spentEv).toBe(7n);
  });
});

describe('figures of the protocol', () => {
  it('an hour of lv2v is 3,600 seconds of 1280 x 720 pixels 30 times a second', () => {
    expect(unitsPerHour).toEqual({ lv2v: 99_532_800_000n, live: 3_600n });
  });

  it('tickets are limited as in go-livepeer, where nothing else is asked for', () => {
    expect(defaultTicketLimits).toEqual({
      maxTicketEvWei: 3n * 10n ** 12n,
      maxTotalEvWei: 2n * 10n ** 13n,
      depositMultiplier: 1n,
    });
  });
});
