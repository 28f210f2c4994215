import { randomBytes } from 'node:crypto';
import { createProxyList, identifyCaller } from './auth/caller.ts';
import { createWebhookAuthorizer } from './auth/webhook.ts';
import { createStaticChain } from './chain/static.ts';
import type { Config } from './config/load.ts';
import { readSecret } from './config/secrets.ts';
import { ConfigError, isSignerError } from './errors.ts';
import { type HttpServer, createHttpApp, listen } from './http/server.ts';
import { type KeyGate, openKeyGate } from './keys/gate.ts';
import type { KeyProvider, ProviderContext } from './keys/provider.ts';
import type { Logger } from './ops/logger.ts';
import { generateLivePayment } from './payments/generate-live-payment.ts';
import { signOrchestratorInfo } from './payments/sign-orchestrator-info.ts';
import { type Policy, createPolicy } from './policy/policy.ts';
import { encodeUpstreamState } from './session/state-json.ts';

export type SignerKey = {
  readonly provider: KeyProvider;
  readonly policy: Policy;
  readonly gate: KeyGate;
  /** whether the key was made just now */
  readonly isNew: boolean;
};

/** What the key's plugin is given; secrets are read here and nowhere else. */
export function createProviderContext(config: Config, logger: Logger): ProviderContext {
  return {
    resolvePath: config.resolvePath,
    readSecret: (reference) =>
      readSecret(reference, {
        resolvePath: config.resolvePath,
        createMissingFiles: config.key.generateIfMissing,
      }),
    log: (level, message, fields = {}) => logger[level](fields, message),
  };
}

/** A key must open, and prove itself, within this time. */
const openTimeoutMs = 30_000;

/**
 * Opens the configured key, pins its address and has it sign once to prove that it can.
 * Throws `ProviderError` and `ConfigError`.
 */
export async function openKey(config: Config, logger: Logger): Promise<SignerKey> {
  const { settings } = config;
  const signal = AbortSignal.timeout(openTimeoutMs);
  const { provider, isNew } = await openProvider(config, createProviderContext(config, logger));
  try {
    const policy = createConfiguredPolicy(config);
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

async function openProvider({ key }: Config, context: ProviderContext) {
  const { plugin, section, generateIfMissing } = key;
  try {
    return { provider: await plugin.open(section, context), isNew: false };
  } catch (error) {
    const isMissing = isSignerError(error) && error.code === 'KEY_NOT_FOUND';
    if (!isMissing || !generateIfMissing || !plugin.generateKey) throw error;
    await plugin.generateKey(section, context);
    return { provider: await plugin.open(section, context), isNew: true };
  }
}

function createConfiguredPolicy({ settings, resolvePath }: Config): Policy {
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
            /^(?:env|file):/.test(value)
              ? readSecret(value, { resolvePath, createMissingFiles: false }).reveal()
              : value,
          ]),
        ),
        timeoutMs: webhook.timeoutMs,
        encodeState: encodeUpstreamState,
      }),
    nowMs: () => performance.now(),
  });
}

/** What tests replace to make answers repeatable. */
export type Sources = {
  /** Unix nanoseconds */
  readonly now: () => bigint;
  /** 128 random bits as 32 hex digits */
  readonly randomId: () => string;
};

const systemSources: Sources = {
  now: () => BigInt(Date.now()) * 1_000_000n,
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
 * Starts the signer: key, self-test, orchestrator-info signature, then the HTTP server. Throws `SignerError`s that say
 * what to do; nothing is left running then.
 */
export async function startSigner(
  config: Config,
  logger: Logger,
  sources: Sources = systemSources,
): Promise<RunningSigner> {
  const { settings } = config;
  refuseOpenServer(config);
  const key = await openKey(config, logger);
  const { provider, policy, gate } = key;
  try {
    const signal = AbortSignal.timeout(openTimeoutMs);
    const orchestratorInfo = await signOrchestratorInfo(gate, policy, signal);
    const chain = createStaticChain({
      l1Block: settings.chain.l1Block,
      round: settings.chain.round,
      deposit: settings.chain.deposit,
      reserve: settings.chain.reserve,
      withdrawRound: settings.chain.withdrawRound,
      lastInitializedRound: {
        round: settings.chain.round,
        blockHash: settings.chain.roundBlockHash,
      },
    });
    const service = {
      policy,
      gate,
      chain,
      billingRule: settings.billing.rule,
      stateFields: settings.session.fields,
      ...sources,
    };
    const isTrustedProxy = createProxyList(settings.auth.trustedProxies);
    const server = await serve(config, {
      orchestratorInfo,
      generateLivePayment: (call) => generateLivePayment(service, call),
      identifyCaller: (rawHeaders, remoteAddress) =>
        identifyCaller(rawHeaders, isTrustedProxy(remoteAddress)),
      logger,
      bodyLimitBytes: settings.server.bodyLimitBytes,
      requestDeadlineMs: settings.server.requestDeadlineMs,
    });
    logger.info(
      { url: server.url, address: orchestratorInfo.address, key: provider.keyRef },
      'listening',
    );
    return {
      address: gate.address,
      checksumAddress: orchestratorInfo.address,
      url: server.url,
      isNewKey: key.isNew,
      close: async () => {
        await server.close();
        await provider.close();
      },
    };
  } catch (error) {
    await provider.close();
    throw error;
  }
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
