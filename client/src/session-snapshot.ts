import type { PaymentType, SignerState } from './generate-live-payment.ts';
import { asObject } from './wire/json.ts';

/**
 * All that a payment session is, as JSON. It holds no credential; but as long as the signer remembers who was let in, whoever
 * has it may pay from it: keep it as you keep a session cookie.
 */
export type SessionSnapshot = {
  readonly version: 1;
  readonly type: PaymentType;
  readonly app?: string;
  /** `net.Capabilities` in base64. */
  readonly capabilities?: string;
  /** Wei, decimal text. */
  readonly maxPrice?: string;
  /** `net.OrchestratorInfo` in base64. */
  readonly orchestrator: string;
  readonly manifestId: string;
  readonly paymentUrl: string;
  readonly state?: SignerState;
  /** The request that was sent to the signer and not answered. */
  readonly unanswered?: { readonly orchestrator: string; readonly idempotencyKey?: string };
  /** The payment that the signer made and the orchestrator has not acknowledged. */
  readonly undelivered?: { readonly payment: string; readonly segCreds: string };
};

/** Throws TypeError for what `snapshot()` did not make. */
export function checkSnapshot(value: unknown): SessionSnapshot {
  const snapshot = asObject(value);
  const hasTexts = ['type', 'orchestrator', 'manifestId', 'paymentUrl'].every(
    (name) => typeof snapshot?.[name] === 'string',
  );
  if (snapshot?.['version'] !== 1 || !hasTexts) {
    throw new TypeError('this is no snapshot of a payment session, or one of a later version');
  }
  return snapshot as SessionSnapshot;
}
