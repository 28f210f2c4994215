import { describe, expect, it } from 'vitest';
import { encodePaymentEvent, paymentEventSchema } from '../../src/payments/payment-event.ts';
import { type PaymentFacts, recordPayment } from '../../src/payments/payment-record.ts';
import type { PaymentType } from '../../src/pm/billing.ts';
import { rational } from '../../src/pm/rational.ts';

/** What a record is made of, and no more. */
function factsOf(type: PaymentType, sequenceNumber = 0n, lastUpdate?: bigint): PaymentFacts {
  const facts = {
    requestId: 'r',
    before: { lastUpdate },
    after: {
      app: 'an app',
      authId: 'acme:alice',
      type,
      pmSessionId: `0x${'ab'.repeat(32)}`,
      sequenceNumber,
      balance: rational(-7n, 2n),
      stateId: 'a session',
    },
    orchestrator: {
      address: '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed',
      transcoder: 'https://127.0.0.1:8935',
      price: { pricePerUnit: 10n, pixelsPerUnit: 3n },
    },
    quote: {
      use: { billedNanoseconds: 1_500_000_000n, units: 5n },
      fee: rational(9n, 4n),
      ticketCount: 2n,
    },
    manifestId: 'a manifest',
    now: 1_767_323_045_123_999_999n,
  };
  return facts as unknown as PaymentFacts;
}

const first = {
  app: 'an app',
  auth_id: 'acme:alice',
  billable_secs: 1.5,
  computed_fee: '2',
  cost: '3.3333333333',
  current_time: '2026-01-02T03:04:05.123999999Z',
  current_time_unix: 1_767_323_045_123,
  manifest_id: 'a manifest',
  num_tickets: 2,
  orch_address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  orch_url: 'https://127.0.0.1:8935',
  pipeline: 'live-video-to-video',
  pixels: 5,
  pm_session_id: `0x${'ab'.repeat(32)}`,
  previous_time: '2026-01-02T03:04:05.123999999Z',
  previous_time_unix: 1_767_323_045_123,
  request_id: 'r',
  sequence_number: 0,
  session_balance: '-4',
  session_id: 'a session',
  session_status: 'new',
};

describe('the record of a payment', () => {
  it('has go-livepeer’s keys, in their order', () => {
    const record = recordPayment(factsOf('lv2v'));
    expect(record).toEqual(first);
    expect(Object.keys(record)).toEqual(Object.keys(first));
  });

  it('tells when the session’s last payment was, and that it goes on', () => {
    expect(recordPayment(factsOf('lv2v', 1n, 1_767_323_000_000_000_000n))).toEqual({
      ...first,
      previous_time: '2026-01-02T03:03:20Z',
      previous_time_unix: 1_767_323_000_000,
      sequence_number: 1,
      session_status: 'continuing',
    });
  });

  it.each(['live', 'fixed', ''] as const)('has no pixels of %j', (type) => {
    expect(recordPayment(factsOf(type))).toEqual({ ...first, pipeline: type, pixels: 0 });
  });
});

describe('the event of a payment', () => {
  const record = recordPayment(factsOf('lv2v'));
  const options = {
    gateway: 'here',
    now: 1_767_323_045_123_999_999n,
    payer: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  };
  const envelope = {
    id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    type: 'create_signed_ticket',
    timestamp: '1767323045123',
    gateway: 'here',
  };

  it('is the record in an envelope, with who pays and the fee in US dollars where that is asked for', () => {
    const upstream = encodePaymentEvent(record, {
      ...options,
      profile: 'go-livepeer',
      feeUsd: null,
    });
    expect(JSON.parse(upstream)).toEqual({ ...envelope, data: first });
    for (const feeUsd of ['0.25', null]) {
      const event: unknown = JSON.parse(
        encodePaymentEvent(record, { ...options, profile: 'livepeer-node', feeUsd }),
      );
      const more = { payer_address: options.payer, computed_fee_usd: feeUsd };
      expect(event).toEqual({ ...envelope, data: { ...first, ...more } });
      expect(paymentEventSchema('livepeer-node').safeParse(event).success).toBe(true);
      expect(paymentEventSchema('go-livepeer').safeParse(event).success).toBe(false);
    }
  });
});
