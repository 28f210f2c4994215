import type { Address } from './bytes.ts';
import {
  type CreationRound,
  type Ticket,
  type TicketParams,
  chooseCreationRound,
} from './ticket.ts';

/** Makes `count` tickets to the parameters' recipient, with the nonces that follow `lastNonce`. */
export function drawUpTickets(
  params: TicketParams,
  sender: Address,
  lastInitializedRound: CreationRound,
  lastNonce: number,
  count: number,
): Ticket[] {
  const { recipient, faceValue, winProb, recipientRandHash } = params;
  const creationRound = chooseCreationRound(params, lastInitializedRound);
  return Array.from({ length: count }, (_, index) => ({
    recipient,
    sender,
    faceValue,
    winProb,
    senderNonce: lastNonce + 1 + index,
    recipientRandHash,
    creationRound,
  }));
}
