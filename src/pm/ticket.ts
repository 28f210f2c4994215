import { keccak256 } from './keccak256.ts';
import { concatBytes } from '@noble/hashes/utils';
import {
  type Address,
  type Bytes32,
  type Hex,
  fromHex,
  maxUint256,
  toHex,
  uintToBytes32,
  zeroBytes32,
} from './bytes.ts';
import type { Rational } from './rational.ts';

/** A Livepeer round and the block hash that the RoundsManager stored for it. */
export type CreationRound = { readonly round: bigint; readonly blockHash: Bytes32 };

/** What the orchestrator asks a ticket to look like. */
export type TicketParams = {
  readonly recipient: Address;
  /** wei */
  readonly faceValue: bigint;
  /** A 256-bit threshold: the ticket wins when its draw is below it. */
  readonly winProb: bigint;
  readonly recipientRandHash: Bytes32;
  readonly seed: bigint;
  /** L1 block */
  readonly expirationBlock: bigint;
  /** The creation round that the orchestrator committed to, when it named one. */
  readonly creationRound: CreationRound | undefined;
};

/** One probabilistic payment, ready to be signed. */
export type Ticket = {
  readonly recipient: Address;
  readonly sender: Address;
  /** wei */
  readonly faceValue: bigint;
  readonly winProb: bigint;
  readonly senderNonce: number;
  readonly recipientRandHash: Bytes32;
  readonly creationRound: CreationRound;
};

/** round ‖ block hash, 64 bytes; empty when both are zero (go-livepeer `Ticket.AuxData`). */
export function encodeAuxData({ round, blockHash }: CreationRound): Hex {
  if (round === 0n && blockHash === zeroBytes32) return '0x';
  return toHex(concatBytes(uintToBytes32(round), fromHex(blockHash)));
}

/**
 * The bytes a ticket's hash is made of: 232, or 168 without auxiliary data. The TicketBroker hashes the same
 * ones. Throws RangeError when face value, win probability or round do not fit into 256 bits.
 */
export function encodeTicketPreimage(ticket: Ticket): Uint8Array {
  return concatBytes(
    fromHex(ticket.recipient),
    fromHex(ticket.sender),
    uintToBytes32(ticket.faceValue),
    uintToBytes32(ticket.winProb),
    uintToBytes32(BigInt(ticket.senderNonce)),
    fromHex(ticket.recipientRandHash),
    fromHex(encodeAuxData(ticket.creationRound)),
  );
}

/** keccak256 of the preimage, 32 bytes: the message of the ticket's EIP-191 signature. */
export function hashTicket(ticket: Ticket): Uint8Array {
  return keccak256(encodeTicketPreimage(ticket));
}

const expectedValues = new WeakMap<object, Rational>();

/** Expected value in wei: faceValue · winProb / (2^256 − 1), exact. Worked out once for each set of parameters. */
export function expectedValue(
  ticket: Readonly<Pick<TicketParams, 'faceValue' | 'winProb'>>,
): Rational {
  const known = expectedValues.get(ticket);
  if (known) return known;
  const value = { numerator: ticket.faceValue * ticket.winProb, denominator: maxUint256 };
  expectedValues.set(ticket, value);
  return value;
}

/**
 * The creation round that tickets carry: the orchestrator's own when it named a whole one, else the last
 * initialized round (go-livepeer `sender.expirationParams`).
 */
export function chooseCreationRound(
  params: TicketParams,
  lastInitializedRound: CreationRound,
): CreationRound {
  const named = params.creationRound;
  return named && named.round !== 0n && named.blockHash !== zeroBytes32
    ? named
    : lastInitializedRound;
}
