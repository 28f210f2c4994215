import {
  type Address,
  type Hex,
  BaseError,
  ContractFunctionRevertedError,
  encodeFunctionData,
  keccak256,
  numberToHex,
} from 'viem';
import { fromHex, toHex } from '../../src/pm/bytes.ts';
import { type Ticket, encodeAuxData, hashTicket } from '../../src/pm/ticket.ts';
import type { Anvil } from '../support/anvil.ts';
import { type LivepeerContracts, livepeerAbi } from '../support/livepeer-contracts.ts';

/** What is handed to `redeemWinningTicket`. */
export type Redemption = {
  readonly ticket: ContractTicket;
  /** r ‖ s ‖ v */
  readonly signature: Hex;
  readonly recipientRand: bigint;
};

/** A ticket as the contract takes it. */
export type ContractTicket = {
  readonly recipient: Address;
  readonly sender: Address;
  readonly faceValue: bigint;
  readonly winProb: bigint;
  readonly senderNonce: bigint;
  readonly recipientRandHash: Hex;
  readonly auxData: Hex;
};

export function toContractTicket(ticket: Ticket): ContractTicket {
  const { creationRound, senderNonce, ...same } = ticket;
  return { ...same, senderNonce: BigInt(senderNonce), auxData: encodeAuxData(creationRound) };
}

/** Deposit and reserve of a sender, in wei. */
export async function readFunds(
  { client }: Anvil,
  { ticketBroker }: LivepeerContracts,
  sender: Address,
): Promise<{ deposit: bigint; reserve: bigint; withdrawRound: bigint }> {
  const [{ deposit, withdrawRound }, { fundsRemaining }] = await client.readContract({
    address: ticketBroker,
    abi: livepeerAbi,
    functionName: 'getSenderInfo',
    args: [sender],
  });
  return { deposit, reserve: fundsRemaining, withdrawRound };
}

/** The contract's reason for refusing; `'ok'` when the ticket was redeemed. */
export async function redeem(
  anvil: Anvil,
  { ticketBroker, owner }: LivepeerContracts,
  { ticket, signature, recipientRand }: Redemption,
): Promise<string> {
  const call = {
    abi: livepeerAbi,
    functionName: 'redeemWinningTicket',
    args: [ticket, signature, recipientRand],
  } as const;
  try {
    await anvil.client.simulateContract({ address: ticketBroker, account: owner, ...call });
  } catch (error) {
    const reverted =
      error instanceof BaseError &&
      error.walk((cause) => cause instanceof ContractFunctionRevertedError);
    if (!(reverted instanceof ContractFunctionRevertedError)) throw error;
    return reverted.reason ?? 'no reason';
  }
  await anvil.sendAs(owner, { to: ticketBroker, data: encodeFunctionData(call) });
  return 'ok';
}

/** The draw of a ticket: it wins when this is below its win probability. */
export function drawOf(signature: Hex, recipientRand: bigint): bigint {
  return BigInt(keccak256(`${signature}${numberToHex(recipientRand, { size: 32 }).slice(2)}`));
}

export function hashOfRand(recipientRand: bigint): Hex {
  return keccak256(numberToHex(recipientRand, { size: 32 }));
}

/** keccak256 of the ticket, as our code computes it. */
export function ticketHashOf(ticket: Ticket): Hex {
  return toHex(hashTicket(ticket));
}

/** The last initialized round and its block hash. */
export async function readRound({ client }: Anvil, { roundsManager }: LivepeerContracts) {
  const address = roundsManager;
  const round = await client.readContract({
    address,
    abi: livepeerAbi,
    functionName: 'lastInitializedRound',
  });
  const blockHash = await client.readContract({
    address,
    abi: livepeerAbi,
    functionName: 'blockHashForRound',
    args: [round],
  });
  return { round, blockHash };
}

/** r ‖ s ‖ v with other parts. */
export function withParts(
  signature: Hex,
  change: (parts: { r: bigint; s: bigint; v: number }) => { r: bigint; s: bigint; v: number },
): Hex {
  const bytes = fromHex(signature);
  const word = (start: number) => BigInt(toHex(bytes.subarray(start, start + 32)));
  const { r, s, v } = change({ r: word(0), s: word(32), v: bytes[64] ?? 0 });
  return `${numberToHex(r, { size: 32 })}${numberToHex(s, { size: 32 }).slice(2)}${numberToHex(v, { size: 1 }).slice(2)}`;
}
