import type { Bytes32 } from './bytes.ts';
import type { Refusal } from './refusal.ts';

/**
 * Orchestrators accept 600 nonces for one recipientRand, and a payment holds up to 100 tickets; so from this nonce on the caller
 * is asked for new parameters (go-livepeer after the pinned revision).
 */
export const refreshFromNonce = 500;

/**
 * The last nonce that the books record for these ticket parameters. Parameters are identified by their recipientRandHash, so a
 * refreshed set starts again from 0; the first ticket's nonce is 1.
 */
export function lastNonceUsed(
  session: { readonly pmSessionId: string; readonly senderNonce: number },
  recipientRandHash: Bytes32,
): number {
  return session.pmSessionId === recipientRandHash ? session.senderNonce : 0;
}

/** Refuses parameters whose nonces are nearly used up; the caller is to fetch new ones. */
export function refuseUsedUpNonces(lastNonce: number): Refusal | undefined {
  return lastNonce >= refreshFromNonce
    ? { code: 'NONCES_USED_UP', data: { nonce: lastNonce } }
    : undefined;
}
