import { randomUUID } from 'node:crypto';
import type { PaymentRecord } from './payment-record.ts';

/** Which keys the event's data has: go-livepeer's 21, or those and livepeer/node's two. */
export type EventProfile = 'go-livepeer' | 'livepeer-node';

/** What the payment's record leaves out. */
export type PaidAmounts = {
  /** Unix nanoseconds */
  readonly now: bigint;
  /** EIP-55, who pays */
  readonly payer: string;
  /** the fee in US dollars, decimal text; null where no rate is known */
  readonly feeUsd: string | null;
};

export type PaymentEventOptions = PaidAmounts & {
  readonly profile: EventProfile;
  /** the envelope's `gateway`, which go-livepeer fills with its host name */
  readonly gateway: string;
};

/** The event of a payment, or an error where events have no room. */
export type EventEncoder = (record: PaymentRecord, amounts: PaidAmounts) => string;

/**
 * The `create_signed_ticket` event of a payment as it goes out, one JSON object: what consumers take for the same event must be
 * the same bytes at each try, so it is made once. Envelope and keys are go-livepeer's (`monitor/kafka.go`).
 */
export function encodePaymentEvent(record: PaymentRecord, options: PaymentEventOptions): string {
  const { profile, gateway, now, payer, feeUsd } = options;
  return JSON.stringify({
    id: randomUUID(),
    type: 'create_signed_ticket',
    timestamp: (now / 1_000_000n).toString(),
    gateway,
    data:
      profile === 'go-livepeer'
        ? record
        : {
            ...record,
            payer_address: payer,
            computed_fee_usd: feeUsd,
          },
  });
}
