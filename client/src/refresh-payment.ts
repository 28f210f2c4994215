import { OrchestratorRefusalError } from './errors.ts';
import { bodyText, exchange, type Fetch, readErrorMessage } from './fetch.ts';
import { parsePaymentChallenge, type PaymentChallenge } from './payment-challenge.ts';

/** Whose terms are asked for. */
export type RefreshPaymentOptions = {
  /** URL of the orchestrator's service. */
  readonly url: string;
  /** Address that pays. */
  readonly sender: string;
  readonly manifestId: string;
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /** 5,000 if left out. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Fresh terms for a session that was paid for before: `POST /refresh-payment` of orchestrators. They keep the session's id and
 * price. Throws `OrchestratorRefusalError` (409 where nothing was paid yet), `OrchestratorUnreachableError` and the reason of an
 * aborted `signal`.
 *
 * @example
 * ```ts
 * import { createPaymentSession, createSignerClient, refreshPayment } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo, orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const url = 'https://orchestrator.example:8935';
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const { address: sender } = await client.signOrchestratorInfo();
 * const orchestrator = await getOrchestratorInfo({ client, url });
 * const session = createPaymentSession({ client, type: 'live', orchestrator, fetch: orchestratorFetch });
 * await session.pay();
 *
 * const { manifestId } = session;
 * const challenge = await refreshPayment({ url, sender, manifestId, fetch: orchestratorFetch });
 * console.log(challenge.manifestId === manifestId); // true
 * ```
 */
export async function refreshPayment(options: RefreshPaymentOptions): Promise<PaymentChallenge> {
  const { url, sender, manifestId, fetch, timeoutMs = 5_000, signal } = options;
  const answer = await exchange({
    party: 'orchestrator',
    fetch,
    url: `${url.replace(/\/$/, '')}/refresh-payment`,
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ sender, manifest_id: manifestId }),
    timeoutMs,
    signal,
  });
  const text = bodyText(answer);
  const challenge = parsePaymentChallenge(text);
  if (answer.status !== 200 || challenge === undefined) {
    throw new OrchestratorRefusalError(answer.status, readErrorMessage(text));
  }
  return challenge;
}
