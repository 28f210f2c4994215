import { setTimeout as delay } from 'node:timers/promises';
import type { Config, KeyConfig } from '../config/load.ts';
import { readSecret } from '../config/secrets.ts';
import { InternalError, isSignerError } from '../errors.ts';
import { nameOf } from '../foreign-error.ts';
import {
  type FailoverOptions,
  type FailoverProvider,
  openFailoverProvider,
} from '../keys/failover.ts';
import { type KeyGate, openKeyGate } from '../keys/gate.ts';
import type { Grant, Permission } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';
import type { KeyJournal } from '../keys/key-journal.ts';
import { createKeyHealthCheck } from '../keys/key-health.ts';
import type { CallOptions, KeyProvider, ProviderContext } from '../keys/provider.ts';
import { publicKeyToAddress } from '../keys/signature.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Address } from '../pm/bytes.ts';
import type { Policy, PolicyOptions } from '../policy/policy.ts';
import { emptyPolicy } from '../policy/rules/compile.ts';
import type { TransactionRules } from '../policy/transactions.ts';
import { alwaysPermitted } from '../policy/switch/signing-switch.ts';
import { openAudit } from './audit.ts';
import { createConfiguredPolicy } from './policy.ts';
import { openStore } from './store.ts';

export type SignerKey = {
  readonly provider: KeyProvider;
  /** what each of several providers has done; none where there is one */
  readonly members: FailoverProvider['statistics'];
  readonly policy: Policy;
  readonly gate: KeyGate;
  /** Rejects while the key does not sign. */
  readonly checkHealth: () => Promise<void>;
  /** whether the key was made just now */
  readonly isNew: boolean;
  /** Closes the key's provider. */
  readonly close: () => Promise<void>;
};

/** The parts around the key: the journal of its uses, and where the policy's rules and windows come from. */
export type KeySurroundings = Pick<
  PolicyOptions,
  'rules' | 'ledger' | 'transactions' | 'signingPermit'
> & {
  readonly journal: KeyJournal;
};

/** The setting that holds a secret reference: the field of a key's section whose value it is, or else the section itself. */
function findSetting({ name, section }: KeyConfig, reference: string): string {
  const [setting = ''] = name.split(':');
  const find = (node: unknown): string[] | undefined => {
    if (node === reference) return [];
    if (typeof node !== 'object' || node === null) return undefined;
    for (const [field, value] of Object.entries(node)) {
      const path = find(value);
      if (path) return [field, ...path];
    }
    return undefined;
  };
  return [setting, ...(find(section) ?? [])].join('.');
}

/** What a key's plugin gets from this program; secrets are read here and nowhere else. */
export function createProviderContext(
  { resolvePath }: Pick<Config, 'resolvePath'>,
  key: KeyConfig,
  logger: Logger,
): ProviderContext {
  return {
    resolvePath,
    readSecret: (reference) =>
      readSecret(reference, {
        setting: findSetting(key, reference),
        resolvePath,
        createMissingFiles: key.generateIfMissing,
      }),
    log: (level, message, fields = {}) => logger[level](fields, message),
  };
}

/** For commands, whose metrics nobody reads. */
const unmeasured: Pick<Metrics, 'dependencyAsked'> = { dependencyAsked: () => undefined };

/** The providers of a group must open, and a key must prove itself, within this time. */
const openTimeoutMs = 30_000;

/**
 * Opens the configured key, pins its address and makes it sign once to prove that it can. It signs transactions only where there
 * are rules for them. Throws `ProviderError`, `ConfigError` and `AUDIT_UNAVAILABLE`.
 */
export async function openKey(
  config: Config,
  logger: Logger,
  { journal, ...surroundings }: KeySurroundings,
  metrics: Pick<Metrics, 'dependencyAsked'> = unmeasured,
): Promise<SignerKey> {
  const { settings } = config;
  const policy = createConfiguredPolicy(config, surroundings, metrics);
  const redeem = (grant: Grant): Permission => policy.redeem(grant);
  const requireSigning = (intent: Intent): void => policy.requireSigning(intent);
  const signSelfTest = async (gate: KeyGate, call: CallOptions): Promise<void> => {
    await gate.sign(policy.grantOwn({ kind: 'self-test', sender: gate.address }), call);
  };
  const { provider, members, isNew } = await openProvider(config, logger, async (member, call) =>
    signSelfTest(
      await openKeyGate({
        provider: member,
        redeem,
        requireSigning,
        journal,
        maxQueued: 1,
        ...call,
      }),
      call,
    ),
  );
  // the time starts here, since opening may have waited for somebody at a PIN pad
  const signal = AbortSignal.timeout(openTimeoutMs);
  try {
    const gate = await openKeyGate({
      provider,
      redeem,
      requireSigning,
      journal,
      maxQueued: settings.maxQueuedSignatures,
      signal,
    });
    await signSelfTest(gate, { signal });
    const checkHealth = createKeyHealthCheck({
      provider,
      condition: gate.condition,
      prove: (call) => signSelfTest(gate, call),
    });
    const close = (): Promise<void> => closeProvider(provider, logger);
    return { provider, members, policy, gate, checkHealth, isNew, close };
  } catch (error) {
    await closeProvider(provider, logger);
    throw error;
  }
}

/**
 * Opens the configured key for a command: its uses are recorded in the audit log's chain for commands, and no payment can be
 * made. Throws as {@link openKey}.
 */
export async function openKeyForCommand(
  config: Config,
  logger: Logger,
  transactions?: TransactionRules,
): Promise<SignerKey> {
  await using opened = new AsyncDisposableStack();
  const audit = await openAudit(config, logger, 'cli');
  opened.defer(() => audit.close());
  let signingPermit = alwaysPermitted;
  if (transactions) {
    const store = await openStore(config, logger);
    opened.defer(() => store.close());
    signingPermit = store.signingPermit;
    // nothing is signed before the state of the switch is known
    await signingPermit.require();
  }
  const key = await openKey(config, logger, {
    journal: audit.journal,
    rules: () => emptyPolicy,
    ledger: () => Promise.reject(new InternalError('INTERNAL', 'a command makes no payments')),
    transactions,
    signingPermit,
  });
  opened.defer(() => key.close());
  const kept = opened.move();
  return { ...key, close: () => kept.disposeAsync() };
}

/** The sender address, lower-case; nothing is signed. Throws `ProviderError` and `ConfigError`. */
export async function readKeyAddress(config: Config, logger: Logger): Promise<Address> {
  const { provider } = await openProvider(config, logger, () =>
    Promise.reject(new InternalError('INTERNAL', 'nothing is signed to read an address')),
  );
  const signal = AbortSignal.timeout(openTimeoutMs);
  try {
    return publicKeyToAddress(await provider.getPublicKey({ signal }));
  } finally {
    await closeProvider(provider, logger);
  }
}

/**
 * Longer than any device should take to log out, and shorter than the time that a container orchestrator gives a program to end.
 */
const closeTimeoutMs = 3_000;

/**
 * Closes a provider. One that fails to close, or never finishes, must neither keep the others from closing nor hide another
 * error.
 */
async function closeProvider(provider: KeyProvider, logger: Logger): Promise<void> {
  const ended = new AbortController();
  const close = async (): Promise<string | undefined> => {
    try {
      await provider.close();
      return undefined;
    } catch (error) {
      return nameOf(error);
    } finally {
      ended.abort();
    }
  };
  const late = `it was not closed within ${closeTimeoutMs} ms`;
  const tooLate = delay(closeTimeoutMs, late, { signal: ended.signal }).catch(() => undefined);
  const cause = await Promise.race([close(), tooLate]);
  if (cause === undefined) return;
  logger.warn({ key: provider.keyRef, cause }, 'key provider failed to close');
}

/** The configuration with only the active key, and all its providers. */
export function withActiveKey(config: Config): Config {
  const [first, ...others] = config.keys.filter((key) => !key.isRetiring);
  return first ? { ...config, keys: [first, ...others] } : config;
}

async function openProvider(config: Config, logger: Logger, prove: FailoverOptions['prove']) {
  const { keys, settings } = config;
  const [first, ...others] = keys;
  if (others.length === 0) return openSingleProvider(config, first, logger);
  const provider = await openFailoverProvider({
    members: keys.map((key) => ({
      name: key.name,
      open: () => key.plugin.open(key.section, createProviderContext(config, key, logger)),
    })),
    ...settings.failover,
    prove,
    log: (level, message, fields = {}) => logger[level](fields, message),
    signal: AbortSignal.timeout(openTimeoutMs),
  });
  return { provider, members: () => provider.statistics(), isNew: false };
}

const noMembers: FailoverProvider['statistics'] = () => [];

async function openSingleProvider(config: Config, key: KeyConfig, logger: Logger) {
  const { plugin, section, generateIfMissing } = key;
  const context = createProviderContext(config, key, logger);
  try {
    return { provider: await plugin.open(section, context), members: noMembers, isNew: false };
  } catch (error) {
    const isMissing = isSignerError(error) && error.code === 'KEY_NOT_FOUND';
    if (!isMissing || !generateIfMissing || !plugin.generateKey) throw error;
    await plugin.generateKey(section, context);
    return { provider: await plugin.open(section, context), members: noMembers, isNew: true };
  }
}
