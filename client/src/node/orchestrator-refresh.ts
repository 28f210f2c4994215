import type { Encoded } from '../generate-live-payment.ts';
import type { RefreshContext, Terms } from '../payment-session.ts';
import { refreshPayment } from '../refresh-payment.ts';
import { getOrchestratorInfo } from './get-orchestrator-info.ts';
import { orchestratorFetch } from './orchestrator-fetch.ts';

/** Who is asked for fresh terms. */
export type OrchestratorRefreshOptions = {
  /** URL of the orchestrator; the one that its terms name if left out. */
  readonly url?: string;
  /** `net.Capabilities` that the work needs. */
  readonly capabilities?: Encoded;
};

/**
 * The `refresh` of sessions whose terms came from {@link getOrchestratorInfo}, which it asks again. But a running session of type
 * `live` or `fixed` must keep its id: for those it asks `/refresh-payment`.
 *
 * @example
 * ```ts
 * import { createPaymentSession, createSignerClient } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo, orchestratorFetch, orchestratorRefresh } from 'livepeer-remote-signer-client/node';
 *
 * const url = 'https://orchestrator.example:8935';
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const session = createPaymentSession({
 *   client,
 *   type: 'live',
 *   orchestrator: await getOrchestratorInfo({ client, url }),
 *   fetch: orchestratorFetch,
 *   refresh: orchestratorRefresh({ url }),
 * });
 * const { kind } = await session.pay();
 * console.log(kind); // "paid"
 * ```
 */
export function orchestratorRefresh(
  options: OrchestratorRefreshOptions = {},
): (context: RefreshContext) => Promise<Terms> {
  return async ({ client, type, isFirst, manifestId, orchestratorUrl, signal }) => {
    const url = options.url ?? orchestratorUrl;
    const { capabilities } = options;
    if (isFirst || type === 'lv2v') {
      return getOrchestratorInfo({ client, url, capabilities, signal });
    }
    const { address: sender } = await client.signOrchestratorInfo({ ...(signal && { signal }) });
    return refreshPayment({ url, sender, manifestId, fetch: orchestratorFetch, signal });
  };
}
