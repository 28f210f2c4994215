import {
  openPaymentSession,
  type PaymentSession,
  type PaymentSessionPorts,
} from './payment-session.ts';
import { checkSnapshot, type SessionSnapshot } from './session-snapshot.ts';

/** What a session goes on with. */
export type ResumePaymentSessionOptions = PaymentSessionPorts & {
  readonly snapshot: SessionSnapshot;
};

/**
 * Goes on with a session where its snapshot was made, in this process or another. A request that was not answered is repeated as
 * it was, and a payment that was not acknowledged is sent again. Only one process at a time may go on. Throws TypeError for what
 * is no snapshot.
 *
 * @example
 * ```ts
 * import {
 *   createPaymentSession,
 *   createSignerClient,
 *   resumePaymentSession,
 *   type SessionSnapshot,
 * } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo, orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const stored = new Map<string, string>(); // a database
 * const ports = {
 *   client: createSignerClient({ url: 'http://127.0.0.1:7936' }),
 *   fetch: orchestratorFetch,
 *   save: (snapshot: SessionSnapshot) => stored.set('session', JSON.stringify(snapshot)),
 * };
 * const url = 'https://orchestrator.example:8935';
 * const orchestrator = await getOrchestratorInfo({ client: ports.client, url });
 * const first = createPaymentSession({ ...ports, type: 'live', orchestrator });
 * await first.pay();
 *
 * const snapshot = JSON.parse(stored.get('session') ?? '') as SessionSnapshot;
 * const second = resumePaymentSession({ ...ports, snapshot });
 * console.log(second.manifestId === first.manifestId); // true
 * ```
 */
export function resumePaymentSession(options: ResumePaymentSessionOptions): PaymentSession {
  const { snapshot, ...ports } = options;
  return openPaymentSession(ports, checkSnapshot(snapshot));
}
