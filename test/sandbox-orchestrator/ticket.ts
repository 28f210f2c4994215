import { equalBytes, keccak256, toInteger, toMinimalBytes, toWord } from './bytes.ts';

/** 2^256 − 1: a win probability of 1, and the denominator of every other one. */
export const maxWinProb = (1n << 256n) - 1n;

/** Round in which a ticket was made and the hash of that round's block (32 bytes). */
export type CreationRound = { readonly round: bigint; readonly blockHash: Uint8Array };

/** Address fields 20 bytes, hashes 32 bytes, faceValue in wei, winProb as a numerator over {@link maxWinProb}. */
export type Ticket = {
  readonly recipient: Uint8Array;
  readonly sender: Uint8Array;
  readonly faceValue: bigint;
  readonly winProb: bigint;
  readonly senderNonce: number;
  readonly recipientRandHash: Uint8Array;
  readonly creation: CreationRound;
};

/** 64 bytes, or none if round and block hash are both zero (pm.md §2.2). */
export function auxData({ round, blockHash }: CreationRound): Uint8Array {
  if (round === 0n && equalBytes(blockHash, new Uint8Array(32))) return new Uint8Array();
  return Buffer.concat([toWord(round), blockHash]);
}

/** The ticket hash that the sender signs and the TicketBroker contract computes (pm.md §2.1), 32 bytes. */
export function ticketHash(ticket: Ticket): Uint8Array {
  return keccak256(
    ticket.recipient,
    ticket.sender,
    toWord(ticket.faceValue),
    toWord(ticket.winProb),
    toWord(BigInt(ticket.senderNonce)),
    ticket.recipientRandHash,
    auxData(ticket.creation),
  );
}

/** Whether a ticket with this signature wins; `recipientRand` is the recipient's revealed number (pm.md §3). */
export function isWinning(winProb: bigint, signature: Uint8Array, recipientRand: bigint): boolean {
  return toInteger(keccak256(signature, toWord(recipientRand))) < winProb;
}

/**
 * The win probability that gives a ticket of `faceValueWei` at least the expected value `evWei`, as
 * go-livepeer's recipient computes it (pm.md §3). Both in wei, `evWei` ≤ `faceValueWei`.
 */
export function winProbFor(evWei: bigint, faceValueWei: bigint): bigint {
  if (faceValueWei === 0n) return 0n;
  if (faceValueWei === evWei) return maxWinProb;
  const roundUp = maxWinProb % faceValueWei === 0n ? 0n : 1n;
  return evWei * (maxWinProb / faceValueWei + roundUp);
}

/** What a recipient's random value is derived from; integers in wei, blocks or wei per unit. */
export type RecipientRandInput = {
  readonly seed: bigint;
  readonly sender: Uint8Array;
  readonly faceValue: bigint;
  readonly winProb: bigint;
  readonly expirationBlock: bigint;
  readonly price: { readonly numerator: bigint; readonly denominator: bigint };
  readonly creation: CreationRound;
};

/** The bytes whose HMAC is the recipient's random value (pm.md §7): minimal integers, one after the other. */
export function recipientRandPreimage(input: RecipientRandInput): Uint8Array {
  return Buffer.concat([
    toMinimalBytes(input.seed),
    input.sender,
    toMinimalBytes(input.faceValue),
    toMinimalBytes(input.winProb),
    toMinimalBytes(input.expirationBlock),
    toMinimalBytes(input.price.numerator),
    toMinimalBytes(input.price.denominator),
    auxData(input.creation),
  ]);
}
