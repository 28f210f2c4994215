import { type Hex, encodePacked, keccak256 } from 'viem';
import type { Ticket } from '../../src/pm/ticket.ts';

const zeroHash = `0x${'0'.repeat(64)}`;

/** The hash of a ticket as the TicketBroker computes it, by viem. */
export function viemTicketHash(ticket: Ticket): Hex {
  const { round, blockHash } = ticket.creationRound;
  const auxData =
    round === 0n && blockHash === zeroHash
      ? '0x'
      : encodePacked(['uint256', 'bytes32'], [round, blockHash]);
  return keccak256(
    encodePacked(
      ['address', 'address', 'uint256', 'uint256', 'uint256', 'bytes32', 'bytes'],
      [
        ticket.recipient,
        ticket.sender,
        ticket.faceValue,
        ticket.winProb,
        BigInt(ticket.senderNonce),
        ticket.recipientRandHash,
        auxData,
      ],
    ),
  );
}
