import { checksum } from 'ox/Address';
import { z } from 'zod';
import { type PaymentType, priceRatio } from '../pm/billing.ts';
import type { Quote } from '../pm/quote.ts';
import { formatDecimal } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import { formatGoTime } from '../wire/go-time.ts';
import type { OrchestratorInfo } from '../wire/orchestrator-info.ts';

const decimal = z.string().regex(/^-?[0-9]+$/);
const goTime = z.iso.datetime({ offset: true });
const unixMilliseconds = z.int().min(0);

/**
 * The record of a payment, with the names, types and key order of go-livepeer's `create_signed_ticket` event, so that programs
 * that read those can read this. Amounts are decimal text in wei.
 */
export const paymentRecordSchema = z.strictObject({
  app: z.string().describe("the session's app"),
  auth_id: z.string().describe('who is billed: `tenant:principal`, or what the auth webhook said'),
  billable_secs: z.number().min(0).describe('seconds that the payment stands for'),
  computed_fee: decimal.describe('the fee, wei'),
  cost: z
    .string()
    .regex(/^[0-9]+\.[0-9]{10}$/)
    .describe("the orchestrator's price of a billing unit now, wei"),
  current_time: goTime.describe('when it was signed, RFC 3339 with up to nanoseconds'),
  current_time_unix: unixMilliseconds.describe('the same, Unix ms'),
  manifest_id: z.string().describe('the id in the segment credentials'),
  num_tickets: z.int().min(1).max(100).describe('tickets that were signed'),
  orch_address: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .describe("the orchestrator's address, EIP-55"),
  orch_url: z.string().describe("the orchestrator's service URL"),
  pipeline: z
    .enum(['live-video-to-video', 'live', 'fixed', ''])
    .describe('the payment type: `live-video-to-video` is `lv2v`'),
  pixels: z.int().min(0).describe('billed pixels of `lv2v`, else 0'),
  pm_session_id: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .describe('`recipientRandHash` of the tickets'),
  previous_time: goTime.describe("when the session's last payment was signed"),
  previous_time_unix: unixMilliseconds.describe('the same, Unix ms'),
  request_id: z.string().min(1).describe("the answer's `X-Request-Id`"),
  sequence_number: z.int().min(0).describe("the session's payments before this one"),
  session_balance: decimal.describe('what is left of the credit, wei'),
  session_id: z.string().describe('the same in all payments of a session'),
  session_status: z.enum(['new', 'continuing']),
});

export type PaymentRecord = Readonly<z.infer<typeof paymentRecordSchema>>;

export type PaymentFacts = {
  readonly requestId: string;
  readonly before: SessionState;
  readonly after: SessionState;
  readonly orchestrator: OrchestratorInfo;
  readonly quote: Quote;
  readonly manifestId: string;
  /** Unix nanoseconds */
  readonly now: bigint;
};

const pipelineOfType: Readonly<Record<PaymentType, PaymentRecord['pipeline']>> = {
  lv2v: 'live-video-to-video',
  live: 'live',
  fixed: 'fixed',
  '': '',
};

const toMilliseconds = (nanoseconds: bigint) => Number(nanoseconds / 1_000_000n);

/** Makes the record of a payment that was signed. */
export function recordPayment(facts: PaymentFacts): PaymentRecord {
  const { after, orchestrator, quote, now } = facts;
  const previous = facts.before.lastUpdate ?? now;
  return {
    app: after.app,
    auth_id: after.authId,
    billable_secs: Number(quote.use.billedNanoseconds) / 1e9,
    computed_fee: formatDecimal(quote.fee, 0),
    cost: formatDecimal(priceRatio(orchestrator.price), 10),
    current_time: formatGoTime(now),
    current_time_unix: toMilliseconds(now),
    manifest_id: facts.manifestId,
    num_tickets: Number(quote.ticketCount),
    orch_address: checksum(orchestrator.address),
    orch_url: orchestrator.transcoder,
    pipeline: pipelineOfType[after.type],
    pixels: after.type === 'lv2v' ? Number(quote.use.units) : 0,
    pm_session_id: after.pmSessionId,
    previous_time: formatGoTime(previous),
    previous_time_unix: toMilliseconds(previous),
    request_id: facts.requestId,
    sequence_number: Number(after.sequenceNumber),
    session_balance: formatDecimal(after.balance, 0),
    session_id: after.stateId,
    session_status: after.sequenceNumber === 0n ? 'new' : 'continuing',
  };
}
