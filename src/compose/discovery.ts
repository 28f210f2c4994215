import cluster from 'node:cluster';
import type { ListedOrchestrators } from '../admin/signer-status.ts';
import type { Config } from '../config/load.ts';
import { isReference, readRpcUrls } from '../config/secret-urls.ts';
import { readSecret } from '../config/secrets.ts';
import { createOrchestratorClient } from '../discovery/ask-orchestrator.ts';
import { CurrentSnapshot } from '../discovery/current-snapshot.ts';
import { startPoller } from '../discovery/poller.ts';
import { parseHttpUrl, parseServiceUrl } from '../discovery/service-url.ts';
import { type DiscoveryMessage, isDiscoveryMessage } from '../discovery/snapshot-messages.ts';
import type { DiscoveryFilter, DiscoverySnapshot } from '../discovery/snapshot.ts';
import {
  type OrchestratorSource,
  chainSource,
  listSource,
  webhookSource,
} from '../discovery/sources.ts';
import { ConfigError } from '../errors.ts';
import { createDestinations } from '../outgoing/destinations.ts';
import type { PaymentType } from '../pm/billing.ts';
import { zero } from '../pm/rational.ts';
import { type Money, toWei } from '../pm/usd.ts';
import type { Sender } from '../payments/senders.ts';
import { liveVideoToVideo } from '../policy/pipelines.ts';
import { type CapabilityModel, type PriceList, configuredCeiling } from '../policy/price-list.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createPriceList } from './policy.ts';
import { workerVariables } from './this-worker.ts';

/** Discovery as it runs in this process. */
export type Discovery = {
  /** Throws `DISCOVERY_UNAVAILABLE`. */
  readonly answer: (filter: DiscoveryFilter) => string;
  /** For operators. */
  readonly listed: () => ListedOrchestrators;
  close(): void;
};

/**
 * Starts discovery, where it is configured. Of several worker processes the first one asks the orchestrators; the others hear from it.
 * Throws `CONFIG_INVALID` and `SECRET_UNREADABLE`.
 */
export async function openDiscovery(
  config: Config,
  sender: Pick<Sender, 'orchestratorInfo' | 'chain'>,
  logger: Logger,
  metrics: Pick<Metrics, 'orchestratorAsked' | 'orchestratorsListed'>,
): Promise<Discovery | undefined> {
  const { discovery } = config.settings;
  if (!discovery) return undefined;
  const current = new CurrentSnapshot(discovery.maxAgeMs);
  const slot = process.env[workerVariables.slot];
  if (cluster.worker && slot !== '1')
    return { answer: current.answer, listed: () => describe(current), close: follow(current) };

  const prices = createPriceList(config.settings);
  // no rate, no offer: a payment would be refused
  const inWei = (amount: Money) => toWei(amount, sender.chain.currentRate()) ?? zero;
  const ceilingNow = (list: PriceList, type: PaymentType, models: readonly CapabilityModel[]) =>
    configuredCeiling(list, type, models, inWei);
  const poller = startPoller({
    ...discovery,
    sources: await listSources(config, sender.chain),
    client: createOrchestratorClient({
      destinations: createDestinations(discovery.grants),
      async sender() {
        const { address, signature } = await sender.orchestratorInfo.signed();
        return {
          address: Buffer.from(address.slice(2), 'hex'),
          signature: Buffer.from(signature.slice(2), 'hex'),
        };
      },
      timeoutMs: discovery.requestTimeoutMs,
      verifyTls: discovery.verifyTls,
      capabilityCeiling(capability, model) {
        // what is paid per pixel; other pipelines have the ceilings that name them
        const models = [{ capability, model }];
        return capability === liveVideoToVideo
          ? ceilingNow(prices, 'lv2v', models)
          : ceilingNow({ ...prices, byType: {} }, 'live', models);
      },
      typeCeiling: (type) => ceilingNow(prices, type, []),
    }),
    publish(snapshot) {
      current.take(snapshot);
      metrics.orchestratorsListed(snapshot.entries.length);
      tellOthers(snapshot);
    },
    observe: metrics.orchestratorAsked,
    log: (level, message, fields) => logger[level](fields, message),
  });
  return {
    answer: current.answer,
    listed: () => describe(current),
    close: () => poller.close(),
  };
}

const mostDescribed = 100;
const mostOffers = 10;

function describe(current: CurrentSnapshot): ListedOrchestrators {
  const { entries } = current.snapshot();
  const first = entries.slice(0, mostDescribed).map(({ address, lastSeen, capabilities }) => ({
    address,
    lastSeen,
    offers: capabilities.slice(0, mostOffers),
  }));
  return { count: entries.length, first };
}

/** Takes the snapshots of the worker that asks; gives what ends it. */
function follow(current: CurrentSnapshot): () => void {
  const hear = (message: unknown): void => {
    if (!isDiscoveryMessage(message) || message.kind !== 'discovery-snapshot') return;
    current.take(message.snapshot);
  };
  process.on('message', hear);
  cluster.worker?.send({ kind: 'discovery-wanted' } satisfies DiscoveryMessage);
  return () => process.off('message', hear);
}

function tellOthers(snapshot: DiscoverySnapshot): void {
  if (cluster.worker?.isConnected() !== true) return;
  cluster.worker.send({ kind: 'discovery-snapshot', snapshot } satisfies DiscoveryMessage);
}

async function listSources(
  { settings: { discovery, chain }, resolvePath }: Config,
  facts: Sender['chain'],
): Promise<readonly OrchestratorSource[]> {
  const sources: OrchestratorSource[] = [];
  if (discovery?.orchestrators) {
    requireServiceUrls(discovery.orchestrators);
    sources.push(listSource(discovery.orchestrators));
  }
  if (discovery?.webhookUrl !== undefined) {
    sources.push(webhookSource(readWebhookUrl(discovery.webhookUrl, resolvePath)));
  }
  if (discovery?.chain === true && chain.source === 'on-chain') {
    // loaded where a chain is read only, as the rest of what needs viem
    const { createRpcEndpoint } = await import('../chain/json-rpc.ts');
    const { createOrchestratorReader } = await import('../chain/read-orchestrators.ts');
    const rpcUrls = readRpcUrls(chain.rpcUrls, resolvePath);
    const reader = createOrchestratorReader({
      endpoints: rpcUrls.map((url, index) =>
        createRpcEndpoint({
          name: `chain.rpcUrls.${index}`,
          url,
          timeoutMs: chain.requestTimeoutMs,
        }),
      ),
      controller: chain.controller,
      serviceRegistry: discovery.serviceRegistry,
    });
    const currentRound = (): bigint => facts.currentFacts().lastInitializedRound.round;
    sources.push(chainSource(currentRound, (round, signal) => reader.read(round, signal)));
  }
  return sources;
}

/** Throws `CONFIG_INVALID`, with the first that is no service URL; it is not shown, since it may have a password in it. */
export function requireServiceUrls(orchestrators: readonly string[]): void {
  const index = orchestrators.findIndex((text) => parseServiceUrl(text) === undefined);
  if (index === -1) return;
  throw new ConfigError(
    'CONFIG_INVALID',
    `discovery.orchestrators.${index}: expected HOST:PORT, or an http or https URL without user name and password`,
  );
}

/** Throws `CONFIG_INVALID` when what a reference names is no URL. */
export function readWebhookUrl(text: string, resolvePath: Config['resolvePath']): string {
  const setting = 'discovery.webhookUrl';
  const url = isReference(text)
    ? readSecret(text, { setting, resolvePath, createMissingFiles: false }).reveal()
    : text;
  if (parseHttpUrl(url)) return url;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${setting}: expected an http or https URL without user name and password`,
  );
}
