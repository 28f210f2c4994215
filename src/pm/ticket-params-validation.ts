import { fromHex, maxUint256 } from './bytes.ts';
import { type Rational, compare, scale } from './rational.ts';
import type { Refusal } from './refusal.ts';
import { startsAsByocJob } from './byoc-job.ts';
import { type TicketParams, expectedValue } from './ticket.ts';

/** What the sender knows of the chain when it validates tickets. */
export type SenderFacts = {
  /** L1 block number last seen */
  readonly l1Block: bigint;
  /** the last initialized round */
  readonly round: bigint;
  /** wei */
  readonly deposit: bigint;
  /** wei left in the reserve */
  readonly reserve: bigint;
  /** the round from which the deposit may be withdrawn; 0 when no unlock was asked for */
  readonly withdrawRound: bigint;
};

/** The sender's own bounds on tickets; go-livepeer's flags of the same names. */
export type TicketLimits = {
  /** wei */
  readonly maxTicketEv: Rational;
  /** wei, over all tickets of one payment */
  readonly maxTotalEv: Rational;
  /** a ticket's face value may be at most deposit / depositMultiplier */
  readonly depositMultiplier: bigint;
};

/** go-livepeer's defaults: 3e12 wei a ticket, 2e13 wei a payment, face value up to the whole deposit. */
export const defaultTicketLimits = {
  maxTicketEvWei: 3_000_000_000_000n,
  maxTotalEvWei: 20_000_000_000_000n,
  depositMultiplier: 1n,
} as const;

/** L1 blocks before the parameters' expiration at which they count as expired. */
const expirationBufferBlocks = 1n;

const maxRound = 2n ** 63n - 1n;

/**
 * Why `count` tickets of these parameters may not be signed; undefined when they may. The checks are those of go-livepeer's
 * `sender.validateTicketParams`, in its order, over big integers. Before them two things are refused: what could not be hashed as
 * the contract does, and a recipient with which a ticket would begin as a BYOC job does.
 */
export function refuseTicketParams(
  params: TicketParams,
  count: bigint,
  facts: SenderFacts,
  limits: TicketLimits,
): Refusal | undefined {
  for (const field of ['faceValue', 'winProb'] as const) {
    if (params[field] > maxUint256) return { code: 'TICKET_PARAMS_MALFORMED', data: { field } };
  }
  const round = params.creationRound?.round ?? 0n;
  if (round < 0n || round > maxRound) {
    return { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'creationRound' } };
  }
  if (startsAsByocJob(fromHex(params.recipient))) {
    return { code: 'TICKET_PARAMS_MALFORMED', data: { field: 'recipient' } };
  }
  if (params.expirationBlock === 0n) {
    return { code: 'EXPIRATION_BLOCK_ZERO', data: {} };
  }
  const { expirationBlock } = params;
  const { l1Block } = facts;
  if (expirationBlock - l1Block <= expirationBufferBlocks) {
    return { code: 'TICKET_PARAMS_EXPIRED', data: { expirationBlock, l1Block } };
  }

  const ev = expectedValue(params);
  if (ev.numerator === 0n) return undefined;

  if (compare(ev, { numerator: params.faceValue, denominator: 1n }) >= 0) {
    return { code: 'FACE_VALUE_TOO_LOW', data: { actual: params.faceValue } };
  }
  if (compare(ev, limits.maxTicketEv) > 0) {
    return { code: 'TICKET_EV_ABOVE_MAXIMUM', data: { actual: ev, maximum: limits.maxTicketEv } };
  }
  const refusedSender = refuseSender(facts);
  if (refusedSender) return refusedSender;

  const totalEv = scale(ev, count);
  if (compare(totalEv, limits.maxTotalEv) > 0) {
    return {
      code: 'TOTAL_EV_ABOVE_MAXIMUM',
      data: { actual: totalEv, maximum: limits.maxTotalEv, tickets: count },
    };
  }
  const maxFaceValue = facts.deposit / limits.depositMultiplier;
  if (params.faceValue > maxFaceValue) {
    return {
      code: 'FACE_VALUE_ABOVE_MAXIMUM',
      data: { actual: params.faceValue, maximum: maxFaceValue },
    };
  }
  return undefined;
}

/** Why no ticket of any worth from this sender can be redeemed, in go-livepeer's order; undefined where one can. */
export function refuseSender({
  withdrawRound,
  round,
  reserve,
  deposit,
}: Omit<SenderFacts, 'l1Block'>): Refusal | undefined {
  if (withdrawRound !== 0n && withdrawRound <= round + 1n) {
    return { code: 'SENDER_UNLOCKING', data: { withdrawRound } };
  }
  if (reserve === 0n) return { code: 'RESERVE_EMPTY', data: {} };
  if (deposit === 0n) return { code: 'DEPOSIT_EMPTY', data: {} };
  return undefined;
}
