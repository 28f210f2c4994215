import { randomBytes } from 'node:crypto';
import { createProxyList, identifyCaller } from './auth/caller.ts';
import { createWebhookAuthorizer } from './auth/webhook.ts';
import type { ChainSource } from './chain/facts.ts';
import type { OnChainOptions } from './chain/on-chain.ts';
import { createStaticChain } from './chain/static.ts';
import type { TicketBrokerClient } from './chain/ticket-broker.ts';
import type { Config, KeyConfig } from './config/load.ts';
import { isReference, readRpcUrls } from './config/rpc-urls.ts';
import { readSecret } from './config/secrets.ts';
import { ConfigError, isSignerError } from './errors.ts';
import { type HttpServer, createHttpApp, listen } from './http/server.ts';
import { openFailoverProvider } from './keys/failover.ts';
import { type KeyGate, openKeyGate } from './keys/gate.ts';
import type { KeyProvider, ProviderContext } from './keys/provider.ts';
import { publicKeyToAddress } from './keys/signature.ts';
import type { Logger } from './ops/logger.ts';
import { type Metrics, createMetrics } from './ops/metrics.ts';
import type { Address } from './pm/bytes.ts';
import { generateLivePayment } from './payments/generate-live-payment.ts';
import { createReadinessCheck } from './payments/readiness.ts';
import { type Sender, type Senders, chooseSender, describeSenders } from './payments/senders.ts';
import { SessionUsage } from './payments/session-usage.ts';
import { signOrchestratorInfo } from './payments/sign-orchestrator-info.ts';
import { type Policy, createPolicy } from './policy/policy.ts';
import type { TransactionRules } from './policy/transactions.ts';
import { type InstanceSeal, startInstanceSeal } from './session/instance-seal.ts';
import { type SealVerifier, createSealVerifier } from './session/seal-verifier.ts';
import { encodeUpstreamState } from './session/state-json.ts';

export type SignerKey = {
  readonly provider: KeyProvider;
  readonly policy: Policy;
  readonly gate: KeyGate;
  /** whether the key was made just now */
  readonly isNew: boolean;
};

/** What a key's plugin is given; secrets are read here and nowhere else. */
export function createProviderContext(
  { resolvePath }: Config,
  key: KeyConfig,
  logger: Logger,
): ProviderContext {
  return {
    resolvePath,
    readSecret: (reference) =>
      readSecret(reference, { resolvePath, createMissingFiles: key.generateIfMissing }),
    log: (level, message, fields = {}) => logger[level](fields, message),
  };
}

/** A key must open, and prove itself, within this time. */
const openTimeoutMs = 30_000;

/**
 * Opens the configured key, pins its address and has it sign once to prove that it can. It signs transactions only where
 * there are rules for them. Throws `ProviderError` and `ConfigError`.
 */
export async function openKey(
  config: Config,
  logger: Logger,
  transactions?: TransactionRules,
): Promise<SignerKey> {
  const { settings } = config;
  const signal = AbortSignal.timeout(openTimeoutMs);
  const { provider, isNew } = await openProvider(config, logger, signal);
  try {
    const policy = createConfiguredPolicy(config, transactions);
    const gate = await openKeyGate({
      provider,
      redeem: (grant) => policy.redeem(grant),
      maxQueued: settings.maxQueuedSignatures,
      signal,
    });
    await gate.sign(policy.grantOwn({ kind: 'self-test', sender: gate.address }), { signal });
    return { provider, policy, gate, isNew };
  } catch (error) {
    await provider.close();
    throw error;
  }
}

/** The sender address, lower-case; nothing is signed. Throws `ProviderError` and `ConfigError`. */
export async function readKeyAddress(config: Config, logger: Logger): Promise<Address> {
  const signal = AbortSignal.timeout(openTimeoutMs);
  const { provider } = await openProvider(config, logger, signal);
  try {
    return publicKeyToAddress(await provider.getPublicKey({ signal }));
  } finally {
    await provider.close();
  }
}

/** The TicketBroker of the configured chain. Throws `ConfigError` and `ChainError`. */
export async function openTicketBroker({
  settings: { chain },
  resolvePath,
}: Config): Promise<TicketBrokerClient> {
  if (chain.source === 'on-chain') {
    // loaded where a chain is read only: viem takes half as long to load as everything else
    const { connectTicketBroker } = await import('./chain/ticket-broker.ts');
    return connectTicketBroker({ ...chain, rpcUrls: readRpcUrls(chain.rpcUrls, resolvePath) });
  }
  throw new ConfigError(
    'CONFIG_INVALID',
    `chain.source is ${chain.source}: the deposit lies on a chain, so configure on-chain with rpcUrls`,
  );
}

/** The configuration with the active key only, all its providers. */
export function withActiveKey(config: Config): Config {
  const [first, ...others] = config.keys.filter((key) => !key.isRetiring);
  return first ? { ...config, keys: [first, ...others] } : config;
}

async function openProvider(config: Config, logger: Logger, signal: AbortSignal) {
  const { keys, settings } = config;
  const [first, ...others] = keys;
  if (others.length === 0) return openSingleProvider(config, first, logger);
  const provider = await openFailoverProvider({
    members: keys.map((key) => ({
      name: key.name,
      open: () => key.plugin.open(key.section, createProviderContext(config, key, logger)),
    })),
    ...settings.failover,
    log: (level, message, fields = {}) => logger[level](fields, message),
    signal,
  });
  return { provider, isNew: false };
}

async function openSingleProvider(config: Config, key: KeyConfig, logger: Logger) {
  const { plugin, section, generateIfMissing } = key;
  const context = createProviderContext(config, key, logger);
  try {
    return { provider: await plugin.open(section, context), isNew: false };
  } catch (error) {
    const isMissing = isSignerError(error) && error.code === 'KEY_NOT_FOUND';
    if (!isMissing || !generateIfMissing || !plugin.generateKey) throw error;
    await plugin.generateKey(section, context);
    return { provider: await plugin.open(section, context), isNew: true };
  }
}

function createConfiguredPolicy(
  { settings, resolvePath }: Config,
  transactions: TransactionRules | undefined,
): Policy {
  const { webhook } = settings.auth;
  return createPolicy({
    guardrails: {
      limits: {
        maxTicketEv: settings.tickets.maxTicketEv,
        maxTotalEv: settings.tickets.maxTotalEv,
        depositMultiplier: settings.tickets.depositMultiplier,
      },
      prices: {
        byType: settings.prices.maxPrice,
        byCapability: settings.prices.capabilities.map(({ pipeline, model, maxPrice }) => ({
          capability: pipeline,
          model,
          maximum: maxPrice,
        })),
      },
      maxTickets: settings.tickets.maxTickets,
    },
    authorize:
      webhook &&
      createWebhookAuthorizer({
        url: webhook.url,
        headers: Object.fromEntries(
          Object.entries(webhook.headers).map(([name, value]) => [
            name,
            isReference(value)
              ? readSecret(value, { resolvePath, createMissingFiles: false }).reveal()
              : value,
          ]),
        ),
        timeoutMs: webhook.timeoutMs,
        encodeState: encodeUpstreamState,
      }),
    transactions,
    nowMs: () => performance.now(),
  });
}

/** What tests replace to make answers repeatable. */
export type Sources = {
  /** Unix nanoseconds, for the books */
  readonly now: () => bigint;
  /** Unix nanoseconds, for the delegations that states are sealed under */
  readonly sealNow: () => bigint;
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

const systemNow = (): bigint => BigInt(Date.now()) * 1_000_000n;

const systemSources: Sources = {
  now: systemNow,
  sealNow: systemNow,
  randomId: () => randomBytes(16).toString('hex'),
};

export type RunningSigner = {
  /** The sender address, lower-case. */
  readonly address: string;
  readonly checksumAddress: string;
  readonly url: string;
  readonly isNewKey: boolean;
  /** Lets requests under way finish, then lets go of the key. */
  close(): Promise<void>;
};

/**
 * Starts the signer: keys, self-tests, orchestrator-info signatures, then the HTTP server. Throws `SignerError`s that say
 * what to do; nothing is left running then.
 */
export async function startSigner(
  config: Config,
  logger: Logger,
  sources: Sources = systemSources,
  metrics: Metrics = createMetrics(),
): Promise<RunningSigner> {
  const { settings } = config;
  refuseOpenServer(config);
  const opened: OpenSender[] = [];
  const closeAll = async (): Promise<void> => {
    for (const { sender, provider } of opened) {
      sender.instanceSeal?.close();
      sender.chain.close();
      await provider.close();
    }
  };
  try {
    const active = await openSender(withActiveKey(config), 'active', logger, sources);
    opened.push(active);
    for (const key of config.keys.filter(({ isRetiring }) => isRetiring)) {
      opened.push(await openSender({ ...config, keys: [key] }, 'retiring', logger, sources));
    }
    const senders: Senders = [active.sender, ...opened.slice(1).map(({ sender }) => sender)];
    requireDifferentKeys(senders);
    const service = {
      senders,
      billingRule: settings.billing.rule,
      stateFields: settings.session.fields,
      ...sources,
    };
    const isTrustedProxy = createProxyList(settings.auth.trustedProxies);
    const checkReadiness = createReadinessCheck(active.provider, active.sender.chain);
    const server = await serve(config, {
      orchestratorInfo: (caller) => chooseSender(senders, caller).orchestratorInfo,
      generateLivePayment: (call) => generateLivePayment(service, call),
      identifyCaller: (rawHeaders, remoteAddress) =>
        identifyCaller(rawHeaders, isTrustedProxy(remoteAddress)),
      logger,
      bodyLimitBytes: settings.server.bodyLimitBytes,
      requestDeadlineMs: settings.server.requestDeadlineMs,
      metrics,
      checkReadiness: async () => {
        const { isReady, report } = await checkReadiness();
        const keys = describeSenders(senders, Number(sources.now() / 1_000_000n));
        return { isReady, report: { ...report, keys } };
      },
    });
    metrics.watchSenders(() =>
      senders.map(({ orchestratorInfo, usage, chain }) => ({
        address: orchestratorInfo.address,
        sessionsInLastHour: usage.sessionsInLastHour(Number(sources.now() / 1_000_000n)),
        chain: chain.status(),
      })),
    );
    const { address } = active.sender.orchestratorInfo;
    logger.info({ url: server.url, address, key: active.provider.keyRef }, 'listening');
    return {
      address: active.sender.gate.address,
      checksumAddress: address,
      url: server.url,
      isNewKey: active.isNew,
      close: async () => {
        await server.close();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

type OpenSender = {
  readonly sender: Sender;
  readonly provider: KeyProvider;
  readonly isNew: boolean;
};

/** Opens one key with all that depends on its address. Throws `SignerError`s; nothing is left open then. */
async function openSender(
  config: Config,
  role: Sender['role'],
  logger: Logger,
  { now, sealNow }: Sources,
): Promise<OpenSender> {
  const key = await openKey(config, logger);
  const { provider, policy, gate, isNew } = key;
  const signal = AbortSignal.timeout(openTimeoutMs);
  let chain: ChainSource | undefined;
  try {
    const orchestratorInfo = await signOrchestratorInfo(gate, policy, signal);
    chain = await openChain(config, gate.address, logger, signal);
    const sealing = await openSealing(config, key, chain, logger, sealNow);
    const usage = new SessionUsage(Number(now() / 1_000_000n));
    const sender = { role, policy, gate, chain, ...sealing, orchestratorInfo, usage };
    return { sender, provider, isNew };
  } catch (error) {
    chain?.close();
    await provider.close();
    throw error;
  }
}

function requireDifferentKeys(senders: Senders): void {
  const addresses = senders.map(({ gate }) => gate.address);
  if (new Set(addresses).size === addresses.length) return;
  throw new ConfigError(
    'CONFIG_INVALID',
    'keys: a retiring key is the active key, or is listed twice; replicas of the active key are not retiring',
  );
}

/** What opens sealed states, and this instance's own seal, if it is to have one. Throws `ProviderError`s. */
async function openSealing(
  { settings: { session } }: Config,
  { policy, gate }: SignerKey,
  chain: ChainSource,
  logger: Logger,
  now: () => bigint,
): Promise<{ isSealed: SealVerifier; instanceSeal: InstanceSeal | undefined }> {
  const options = {
    domain: { chainId: chain.chainId, broker: chain.ticketBroker },
    clockSkewMs: session.clockSkewMs,
    now,
  };
  const isSealed = createSealVerifier({ sender: gate.address, ...options });
  if (session.seal === 'key') return { isSealed, instanceSeal: undefined };
  const instanceSeal = await startInstanceSeal({
    ...options,
    signDelegation: async (delegation, signal) => {
      const grant = policy.grantOwn({ kind: 'state-delegation', delegation });
      const [signature = new Uint8Array()] = await gate.sign(grant, { signal });
      return signature;
    },
    log: (level, message, fields) => logger[level](fields, message),
  });
  return { isSealed, instanceSeal };
}

/** The view of the chain. Throws `CONFIG_INVALID` and `CHAIN_FACTS_UNAVAILABLE` when the first facts can't be had. */
async function openChain(
  { settings: { chain }, resolvePath }: Config,
  sender: Address,
  logger: Logger,
  signal: AbortSignal,
): Promise<ChainSource> {
  if (chain.source === 'on-chain') {
    const rpcUrls = readRpcUrls(chain.rpcUrls, resolvePath);
    const log: OnChainOptions['log'] = (level, message, fields) => logger[level](fields, message);
    const { openOnChainSource } = await import('./chain/on-chain.ts');
    return openOnChainSource({ ...chain, rpcUrls, sender, log }, signal);
  }
  const { l1Block, round, roundBlockHash: blockHash, deposit, reserve, withdrawRound } = chain;
  const lastInitializedRound = { round, blockHash };
  return createStaticChain({
    chainId: chain.chainId,
    ticketBroker: chain.ticketBroker,
    facts: { l1Block, round, deposit, reserve, withdrawRound, lastInitializedRound },
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function refuseOpenServer({ settings: { server, auth } }: Config): void {
  if (isLoopback(server.listen.host) || auth.webhook || server.allowUnauthenticatedPublic) return;
  throw new ConfigError(
    'CONFIG_INVALID',
    `server.listen: ${server.listen.host} can be reached from outside and nobody would be authenticated; ` +
      'listen on 127.0.0.1, configure auth.webhook, or set server.allowUnauthenticatedPublic: true',
  );
}

async function serve(
  { settings: { server }, resolvePath }: Config,
  options: Parameters<typeof createHttpApp>[0],
): Promise<HttpServer> {
  const { host, port } = server.listen;
  try {
    return await listen(createHttpApp(options), {
      host,
      port,
      tls: server.tls && { cert: resolvePath(server.tls.cert), key: resolvePath(server.tls.key) },
      headersTimeoutMs: server.headersTimeoutMs,
      receiveTimeoutMs: server.receiveTimeoutMs,
      keepAliveTimeoutMs: server.keepAliveTimeoutMs,
    });
  } catch (cause) {
    if (isSignerError(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError('CONFIG_INVALID', `can't listen on ${host}:${port}: ${reason}`, {
      cause,
    });
  }
}
