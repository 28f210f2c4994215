import { createWebhookAuthorizer } from '../auth/webhook.ts';
import type { Config } from '../config/load.ts';
import { isReference } from '../config/rpc-urls.ts';
import type { Settings } from '../config/schema.ts';
import { readSecret } from '../config/secrets.ts';
import { type Policy, type PolicyOptions, createPolicy } from '../policy/policy.ts';
import type { PriceList } from '../policy/price-list.ts';
import type { Secret } from '../secret.ts';
import { encodeUpstreamState } from '../session/state-json.ts';

/** The price ceilings of the configuration. */
export function createPriceList({ prices }: Settings): PriceList {
  return {
    byType: prices.maxPrice,
    byCapability: prices.capabilities.map(({ pipeline, model, maxPrice }) => ({
      capability: pipeline,
      model,
      maximum: maxPrice,
    })),
  };
}

/** The policy that the configuration asks for. Throws `SECRET_UNREADABLE`. */
export function createConfiguredPolicy(
  { settings, resolvePath }: Config,
  surroundings: Pick<PolicyOptions, 'rules' | 'ledger' | 'transactions'>,
): Policy {
  const { webhook } = settings.auth;
  return createPolicy({
    guardrails: {
      limits: {
        maxTicketEv: settings.tickets.maxTicketEv,
        maxTotalEv: settings.tickets.maxTotalEv,
        depositMultiplier: settings.tickets.depositMultiplier,
      },
      prices: createPriceList(settings),
      maxTickets: settings.tickets.maxTickets,
      forks: settings.policy.forks,
    },
    authorize:
      webhook &&
      createWebhookAuthorizer({
        url: webhook.url,
        headers: readHeaders(webhook.headers, resolvePath),
        timeoutMs: webhook.timeoutMs,
        encodeState: encodeUpstreamState,
      }),
    ...surroundings,
    nowMs: () => performance.now(),
  });
}

/** The webhook's headers, references read. Throws `SECRET_UNREADABLE`. */
export function readHeaders(
  headers: Readonly<Record<string, string>>,
  resolvePath: Config['resolvePath'],
): Record<string, string | Secret> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      isReference(value) ? readSecret(value, { resolvePath, createMissingFiles: false }) : value,
    ]),
  );
}
