import type { ChainSource } from '../chain/facts.ts';
import type { Config } from '../config/load.ts';
import { isSigningStopped } from '../errors.ts';
import type { KeyProvider } from '../keys/provider.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Sender } from '../payments/senders.ts';
import { SessionUsage } from '../payments/session-usage.ts';
import { createOrchestratorInfo } from '../payments/sign-orchestrator-info.ts';
import { type InstanceSeal, startInstanceSeal } from '../session/instance-seal.ts';
import { RecentSeals } from '../session/recent-seals.ts';
import { type SealVerifier, createSealVerifier } from '../session/seal-verifier.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { openChain } from './chain.ts';
import { meterKeyUses } from './meters.ts';
import { type KeySurroundings, type SignerKey, openKey } from './key.ts';

export type SenderClocks = {
  /** Unix nanoseconds, for the books */
  readonly now: () => bigint;
  /** Unix nanoseconds, for the delegations that states are sealed under */
  readonly sealNow: () => bigint;
  /** a monotonic clock in milliseconds, for the age of the chain's facts */
  readonly elapsedMs: () => number;
};

/** The time in which the first facts of the chain and the first signatures must be there. */
const openTimeoutMs = 30_000;

/** A key in service. */
export type OpenSender = {
  readonly sender: Sender;
  readonly provider: KeyProvider;
  /** what each of several providers has done; none where there is one */
  readonly members: SignerKey['members'];
  /** Rejects while the key does not sign. */
  readonly checkKey: () => Promise<void>;
  readonly isNew: boolean;
  /** Closes the key and everything that depends on it. */
  readonly close: () => Promise<void>;
};

/** Opens one key with all that depends on its address. Throws `SignerError`s; nothing is left open then. */
export async function openSender(
  config: Config,
  role: Sender['role'],
  logger: Logger,
  surroundings: KeySurroundings,
  { now, sealNow, elapsedMs }: SenderClocks,
  metrics: Pick<Metrics, 'keyUsed' | 'dependencyAsked'>,
): Promise<OpenSender> {
  await using opened = new AsyncDisposableStack();
  const journal = meterKeyUses(surroundings.journal, describeProvider(config), metrics);
  const key = await openKey(config, logger, { ...surroundings, journal }, metrics);
  opened.defer(() => key.close());
  const { provider, members, policy, gate, checkHealth: checkKey, isNew } = key;
  const signal = AbortSignal.timeout(openTimeoutMs);
  const orchestratorInfo = createOrchestratorInfo(gate, policy);
  await orchestratorInfo.signed().catch((error: unknown) => {
    // it is signed on request, once signing is permitted again
    if (!isSigningStopped(error)) throw error;
  });
  const chain = await openChain(config, gate.address, logger, elapsedMs, metrics, signal);
  opened.defer(() => chain.close());
  const sealing = await openSealing(config, key, chain, logger, sealNow);
  opened.defer(() => sealing.instanceSeal?.close());
  const usage = new SessionUsage(Number(now() / 1_000_000n));
  const sender = { role, policy, gate, chain, ...sealing, orchestratorInfo, usage };
  const kept = opened.move();
  return { sender, provider, members, checkKey, isNew, close: () => kept.disposeAsync() };
}

/** The name of the key's plugin; `failover` for several providers. */
function describeProvider({ keys: [key, ...others] }: Config): string {
  return others.length === 0 ? key.plugin.name : 'failover';
}

/** Opens what verifies sealed states, and this instance's own seal where it is to have one. Throws `ProviderError`s. */
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
    recentSeals: new RecentSeals(),
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
