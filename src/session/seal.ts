import type { Intent } from '../keys/intents.ts';

type SealIntent = Extract<Intent, { kind: 'session-state' }>;

/**
 * go-livepeer's seal: the sender's personal-message signature (65 bytes) over the raw state bytes. States sealed so
 * by this signer or by go-livepeer, with the same key, are interchangeable.
 */
export function keySealIntent(state: Uint8Array): SealIntent {
  return { kind: 'session-state', state };
}
