import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type PaymentRecord, paymentRecordSchema } from './payment-record.ts';

/** Which keys the event's data has: go-livepeer's 21, or those and livepeer/node's two. */
export type EventProfile = 'go-livepeer' | 'livepeer-node';

/** Amounts of a payment that its record does not hold. */
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

/** The event's data, by profile. */
const dataSchemas = {
  'go-livepeer': paymentRecordSchema,
  'livepeer-node': z.strictObject({
    ...paymentRecordSchema.shape,
    payer_address: z
      .string()
      .regex(/^0x[0-9a-fA-F]{40}$/)
      .describe('who pays, EIP-55'),
    computed_fee_usd: z
      .string()
      .regex(/^[0-9]+(\.[0-9]+)?$/)
      .nullable()
      .describe('the fee in US dollars; null where no rate is known'),
  }),
} satisfies Record<EventProfile, z.ZodType>;

/** The event of a payment as it is delivered: the envelope, and the data of a profile. */
export const paymentEventSchema = <Profile extends EventProfile>(profile: Profile) =>
  z.strictObject({
    id: z.uuid().describe('tells events apart; the same each time the event is sent'),
    type: z.literal('create_signed_ticket'),
    timestamp: z
      .string()
      .regex(/^[0-9]+$/)
      .describe('when it was signed, Unix ms'),
    gateway: z.string().describe('what `events.gateway` says'),
    data: dataSchemas[profile],
  });

/** Encodes the event of a payment. Throws where events have no room. */
export type EventEncoder = (record: PaymentRecord, amounts: PaidAmounts) => string;

/**
 * The `create_signed_ticket` event of a payment as it is sent, one JSON object. It is encoded once, since consumers recognise a
 * repeated event by equal bytes. Envelope and keys are go-livepeer's (`monitor/kafka.go`).
 */
export function encodePaymentEvent(record: PaymentRecord, options: PaymentEventOptions): string {
  const { profile, gateway, now, payer, feeUsd } = options;
  const event: z.infer<ReturnType<typeof paymentEventSchema>> = {
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
  };
  return JSON.stringify(event);
}
