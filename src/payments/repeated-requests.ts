import { hash } from 'node:crypto';
import type { Caller } from '../auth/authorization.ts';
import type { Address } from '../pm/bytes.ts';
import type { AnswerHolder, AnswerMemory, Claim } from '../session/answer-memory.ts';
import type { NonceDemand } from '../session/nonce-demand.ts';
import type { PaymentRequest } from '../wire/payment-request.ts';

/** The identity of a request, by which a repeat is recognised. */
export type RequestIdentity = {
  readonly request: PaymentRequest;
  readonly caller: Caller;
  /** the key that pays, as the caller or its principal's attributes ask for it */
  readonly sender: Address;
  /** `Idempotency-Key`, which counts for a session's first payment */
  readonly idempotencyKey: string | undefined;
  /** tells apart callers whom nothing else tells apart; '' where that does not matter */
  readonly nobody: string;
  /** whose share of the room the answer takes */
  readonly holder: AnswerHolder;
};

/**
 * Claims what a request uses up: its session state, or for a first payment its idempotency key, and the nonces of its tickets. A
 * first payment without a key can't be told from another. Throws `ANSWERS_UNAVAILABLE`, and the reason that `signal` was aborted
 * with.
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

/**
 * The identity of a caller. It does not depend on the credential, which may be renewed between two attempts, where the principal
 * behind it is known.
 */
function identify(caller: Caller): readonly string[] {
  const { id, tenant } = caller.principal;
  return id === ''
    ? ['', '', caller.authId, caller.credentialHash]
    : [id, tenant, caller.authId, ''];
}

/**
 * Hashes everything of a request that its answer depends on. Usage labels decide nothing, and may differ when a client tries
 * again.
 */
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
