import { hash } from 'node:crypto';
import type { Caller } from '../auth/authorization.ts';
import { RecordsError } from '../errors.ts';
import type { Address } from '../pm/bytes.ts';
import { refreshFromNonce, refuseUsedUpNonces } from '../pm/nonces.ts';
import type { Quote } from '../pm/quote.ts';
import { maxTicketsOfProtocol } from '../pm/ticket-count.ts';
import type { SessionFacts } from '../policy/proposal.ts';
import type { NonceDemand, NonceOutcome } from '../session/nonce-demand.ts';
import { nonceHolder } from './holders.ts';
import { SessionRefreshError } from './refusal-error.ts';

/**
 * Where a ticket's nonce comes from. `unique`: it follows all that were handed out for the sender and the parameters'
 * recipientRandHash, for whatever session. `upstream`: it follows the last one in the session's books, as in go-livepeer.
 */
export type TicketNonces = 'unique' | 'upstream';

/**
 * The nonces that a payment asks for; undefined for one that takes no tickets. A payment that owes more tickets than it may hold
 * asks for as many as it may hold: windows may let it pay a part.
 */
export function demandNonces(
  sender: Address,
  caller: Caller,
  { params, books, chain, quote }: Omit<SessionFacts, 'now'> & { readonly quote: Quote },
): NonceDemand | undefined {
  const { ticketCount, lastNonce } = quote;
  if (ticketCount < 1n) return undefined;
  const { recipientRandHash, expirationBlock } = params;
  return {
    ticketSession: hash('sha256', sender + recipientRandHash).slice(0, 32),
    count: ticketCount < maxTicketsOfProtocol ? Number(ticketCount) : maxTicketsOfProtocol,
    after: lastNonce,
    limit: refreshFromNonce,
    lifetimeMs: nonceLifetimeMs(expirationBlock, chain.l1Block),
    holder: nonceHolder(caller, books.authId),
  };
}

/** Ethereum makes a block every 12 s, or skips it. */
const blockMs = 12_000n;
const shortestLifetimeMs = 600_000n;
const longestLifetimeMs = 86_400_000n;

/**
 * For how many milliseconds it must be remembered which nonces of these parameters were handed out: until they have expired also
 * for somebody who sees the chain late, and while it is slow. That is one and a half times the time that their blocks should
 * take, at least 10 minutes, and at most a day, whatever the caller writes into them.
 */
export function nonceLifetimeMs(expirationBlock: bigint, l1Block: bigint): number {
  const untilExpiredMs = ((expirationBlock - l1Block) * blockMs * 3n) / 2n;
  if (untilExpiredMs < shortestLifetimeMs) return Number(shortestLifetimeMs);
  return Number(untilExpiredMs < longestLifetimeMs ? untilExpiredMs : longestLifetimeMs);
}

/**
 * The nonce before the payment's first ticket. Throws {@link SessionRefreshError} `NONCES_USED_UP` when the parameters have none
 * left, and `NONCES_WITHOUT_ROOM`.
 */
export function requireNonces(outcome: NonceOutcome, orchestratorUrl: string): number {
  if (outcome.kind === 'no-room') {
    throw new RecordsError(
      'NONCES_WITHOUT_ROOM',
      'too many ticket parameters of this tenant are in use: which nonces they have used could not be remembered',
      { retryable: true },
    );
  }
  const refusal = outcome.kind === 'used-up' ? refuseUsedUpNonces(outcome.lastNonce) : undefined;
  if (refusal) throw new SessionRefreshError(refusal, orchestratorUrl);
  return outcome.lastNonce;
}
