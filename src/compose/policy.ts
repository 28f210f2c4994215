import { createWebhookAuthorizer } from '../auth/webhook.ts';
import type { Config } from '../config/load.ts';
import type { Settings } from '../config/schema.ts';
import { pricePerUnit } from '../config/units.ts';
import { type Policy, type PolicyOptions, createPolicy } from '../policy/policy.ts';
import type { PriceList } from '../policy/price-list.ts';
import { encodeUpstreamState } from '../session/state-json.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { readHeaders } from './headers.ts';
import { meterWebhook } from './meters.ts';

/** The price ceilings of the configuration. */
export function createPriceList({ prices }: Settings): PriceList {
  return {
    byType: prices.maxPrice,
    byCapability: prices.capabilities.map(({ pipeline, model, maxPrice }) => ({
      capability: pipeline,
      model,
      maximum: {
        lv2v: pricePerUnit(maxPrice, 'lv2v'),
        live: pricePerUnit(maxPrice, 'live'),
        fixed: pricePerUnit(maxPrice, 'fixed'),
      },
    })),
  };
}

/** Creates the policy that is configured. Throws `SECRET_UNREADABLE`. */
export function createConfiguredPolicy(
  { settings, resolvePath }: Config,
  surroundings: Pick<PolicyOptions, 'rules' | 'ledger' | 'transactions' | 'signingPermit'>,
  metrics: Pick<Metrics, 'dependencyAsked'>,
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
      meterWebhook(
        createWebhookAuthorizer({
          url: webhook.url,
          headers: readHeaders(webhook.headers, resolvePath, 'auth.webhook.headers'),
          timeoutMs: webhook.timeoutMs,
          encodeState: encodeUpstreamState,
        }),
        metrics,
      ),
    ...surroundings,
    nowMs: () => performance.now(),
  });
}
