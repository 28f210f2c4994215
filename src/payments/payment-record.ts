import { checksum } from 'ox/Address';
import { type PaymentType, priceRatio } from '../pm/billing.ts';
import type { Quote } from '../pm/quote.ts';
import { formatDecimal } from '../pm/rational.ts';
import type { SessionState } from '../pm/session-state.ts';
import { formatGoTime } from '../wire/go-time.ts';
import type { OrchestratorInfo } from '../wire/orchestrator-info.ts';

/**
 * What a payment was, with the names, types and key order of go-livepeer's `create_signed_ticket` event, so that what reads
 * those can read this. Amounts are decimal text in wei.
 */
export type PaymentRecord = {
  readonly app: string;
  readonly auth_id: string;
  readonly billable_secs: number;
  readonly computed_fee: string;
  readonly cost: string;
  readonly current_time: string;
  readonly current_time_unix: number;
  readonly manifest_id: string;
  readonly num_tickets: number;
  readonly orch_address: string;
  readonly orch_url: string;
  readonly pipeline: string;
  readonly pixels: number;
  readonly pm_session_id: string;
  readonly previous_time: string;
  readonly previous_time_unix: number;
  readonly request_id: string;
  readonly sequence_number: number;
  readonly session_balance: string;
  readonly session_id: string;
  readonly session_status: 'new' | 'continuing';
};

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

const pipelineOfType: Readonly<Record<PaymentType, string>> = {
  lv2v: 'live-video-to-video',
  live: 'live',
  fixed: 'fixed',
  '': '',
};

const toMilliseconds = (nanoseconds: bigint) => Number(nanoseconds / 1_000_000n);

/** Puts a payment that was signed into its record. */
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
