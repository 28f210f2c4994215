import { hash } from 'node:crypto';
import type { Caller } from '../auth/authorization.ts';
import type { Address } from '../pm/bytes.ts';
import type { AnswerHolder, AnswerMemory, Claim } from '../session/answer-memory.ts';
import type { NonceDemand } from '../session/nonce-demand.ts';
import type { PaymentRequest } from '../wire/payment-request.ts';

/** What tells one request from another. */
export type RequestIdentity = {
  readonly request: PaymentRequest;
  readonly caller: Caller;
  /** the key that pays, as the caller asks for it or its principal's attributes say */
  readonly sender: Address;
  /** `Idempotency-Key`, which counts for a session's first payment */
  readonly idempotencyKey: string | undefined;
  /** what tells callers from each other that nothing else tells apart; '' where that does not matter */
  readonly nobody: string;
  /** whose share of the room its answer takes */
  readonly holder: AnswerHolder;
};

/**
 * Claims what a request uses up: its session state, or for a first payment its idempotency key, and the nonces of its tickets. A
 * first payment without a key can't be told from another. Throws `ANSWERS_UNAVAILABLE`, and what ended `signal`.
 */
export async function claimUse(
  answers: AnswerMemory,
  { request, caller, sender, idempotencyKey, holder, nobody }: RequestIdentity,
  nonces: NonceDemand | undefined,
  signal: AbortSignal,
): Promise<Claim> {
  const who = [...identify(caller), nobody];
  const use = request.state
    ? hash('sha256', request.state.state)
    : idempotencyKey && hash('sha256', JSON.stringify(['idempotency-key', who, idempotencyKey]));
  const requestHash = hashRequest(request, who, sender);
  return answers.claim({ use, requestHash, nonces, holder }, signal);
}

/** A credential may be renewed between two tries, who is behind it stays the same. */
function identify(caller: Caller): readonly string[] {
  const { id, tenant } = caller.principal;
  return id === ''
    ? ['', '', caller.authId, caller.credentialHash]
    : [id, tenant, caller.authId, ''];
}

/** All of a request that its answer depends on; usage labels decide nothing, and may be others when a client tries again. */
function hashRequest(request: PaymentRequest, who: readonly string[], sender: Address): string {
  const { orchestrator, capabilities, manifestId, app, inPixels, type, maxPrice } = request;
  const text = JSON.stringify([
    who,
    sender,
    manifestId,
    app,
    inPixels.toString(),
    type,
    maxPrice,
    orchestrator.length,
  ]);
  return hash('sha256', Buffer.concat([Buffer.from(text), orchestrator, capabilities]));
}
