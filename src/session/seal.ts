import type { Intent } from '../keys/intents.ts';
import { verifyPersonalSignature } from '../keys/signature.ts';
import type { Address } from '../pm/bytes.ts';
import type { SealedState } from '../wire/payment-request.ts';

type SealIntent = Extract<Intent, { kind: 'session-state' }>;

/**
 * go-livepeer's seal: the sender's personal-message signature (65 bytes) over the raw state bytes. States sealed so
 * by this signer or by go-livepeer, with the same key, are interchangeable.
 */
export function keySealIntent(state: Uint8Array): SealIntent {
  return { kind: 'session-state', state };
}

/** Whether the sender sealed exactly these bytes. */
export function isSealedBy(sender: Address, { state, sig }: SealedState): boolean {
  return verifyPersonalSignature(sender, state, sig);
}
