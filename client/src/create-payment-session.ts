import type { Encoded, PaymentType } from './generate-live-payment.ts';
import type { PaymentChallenge } from './payment-challenge.ts';
import {
  openPaymentSession,
  type PaymentSession,
  type PaymentSessionPorts,
  readTerms,
} from './payment-session.ts';
import { toBase64 } from './wire/base64.ts';

/** What a session pays for, and how. */
export type PaymentSessionOptions = PaymentSessionPorts & {
  readonly type: PaymentType;
  /** The app that the work is for; the signer holds the session to it. */
  readonly app?: string;
  /** `net.Capabilities` that the work needs. */
  readonly capabilities?: Encoded;
  /** The most that may be paid for a unit (a pixel, a second or a request), in wei; a fraction as decimal text. */
  readonly maxPrice?: bigint | string;
  /** Instead of the session id in the terms. */
  readonly manifestId?: string;
} & (
    | {
        /** The orchestrator's `net.OrchestratorInfo`. */
        readonly orchestrator: Encoded;
        readonly challenge?: undefined;
      }
    | {
        /** What a runner answered with 402. */
        readonly challenge: PaymentChallenge;
        readonly orchestrator?: undefined;
      }
  );

/**
 * A session of payments to one orchestrator. It carries the signer's state from one payment to the next. Throws TypeError for
 * an `orchestrator` that is no `OrchestratorInfo`.
 *
 * @example
 * ```ts
 * import { createPaymentSession, createSignerClient } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo, orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const orchestrator = await getOrchestratorInfo({ client, url: 'https://orchestrator.example:8935' });
 * const session = createPaymentSession({ client, type: 'live', orchestrator, fetch: orchestratorFetch });
 *
 * const payments = session.start({ everyMs: 3_000, onOutcome: ({ kind }) => console.log(kind) });
 * // … the work …
 * await payments.stop();
 * ```
 */
export function createPaymentSession(options: PaymentSessionOptions): PaymentSession {
  const { type, app, capabilities, maxPrice, orchestrator, challenge, ...ports } = options;
  const terms = readTerms(orchestrator ?? challenge);
  return openPaymentSession(ports, {
    version: 1,
    type,
    ...(app !== undefined && { app }),
    ...(capabilities !== undefined && {
      capabilities: typeof capabilities === 'string' ? capabilities : toBase64(capabilities),
    }),
    ...(maxPrice !== undefined && { maxPrice: `${maxPrice}` }),
    ...terms,
    manifestId: options.manifestId ?? terms.manifestId,
  });
}
