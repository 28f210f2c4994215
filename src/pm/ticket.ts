import { keccak256 } from './keccak256.ts';
import {
  type Address,
  type Bytes32,
  type Hex,
  fromHex,
  maxUint256,
  uintToWord,
  zeroBytes32,
} from './bytes.ts';
import type { Rational } from './rational.ts';

/** A Livepeer round and the block hash that the RoundsManager stored for it. */
export type CreationRound = { readonly round: bigint; readonly blockHash: Bytes32 };

/** The form of ticket that the orchestrator asks for. */
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
  return `0x${uintToWord(round)}${blockHash.slice(2)}`;
}

/** How long a ticket's preimage can be, in bytes: without auxiliary data, and with it. */
export const ticketPreimageLengths: readonly number[] = [168, 232];

/**
 * The bytes a ticket's hash is made of: 232, or 168 without auxiliary data. The TicketBroker hashes the same
 * ones. Throws RangeError when face value, win probability or round do not fit into 256 bits.
 */
export function encodeTicketPreimage(ticket: Ticket): Uint8Array {
  const digits = [
    ticket.recipient.slice(2),
    ticket.sender.slice(2),
    uintToWord(ticket.faceValue),
    uintToWord(ticket.winProb),
    uintToWord(BigInt(ticket.senderNonce)),
    ticket.recipientRandHash.slice(2),
    encodeAuxData(ticket.creationRound).slice(2),
  ];
  // joining seven byte arrays would take twice as long
  return fromHex(`0x${digits.join('')}`);
}

/** keccak256 of the preimage, 32 bytes: the message of the ticket's EIP-191 signature. */
export function hashTicket(ticket: Ticket): Uint8Array {
  return keccak256(encodeTicketPreimage(ticket));
}

/** Expected value in wei: faceValue · winProb / (2^256 − 1), exact. */
export function expectedValue({
  faceValue,
  winProb,
}: Readonly<Pick<TicketParams, 'faceValue' | 'winProb'>>): Rational {
  return { numerator: faceValue * winProb, denominator: maxUint256 };
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
