import { hash } from 'node:crypto';
import type { Config } from '../config/load.ts';
import { readDocument } from '../config/document-thread.ts';
import { type PolicyDocument, readPolicyDocument, toPolicy } from '../config/policy-file.ts';
import { readTextFile } from '../config/read-text-file.ts';
import { type ReloadHistory, type WatchedFile, openWatchedFile } from '../config/watched-file.ts';
import { ConfigError } from '../errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { lintPolicy } from '../policy/rules/lint.ts';
import { type CompiledPolicy, type CompiledRule, emptyPolicy } from '../policy/rules/compile.ts';

/**
 * Opens the rules in force: those of the policy file as it is now, or none. `onLoaded` gets the SHA-256 of each version of the
 * file that is taken up, in hex. Throws `CONFIG_INVALID`.
 */
export function openRules(
  { settings, resolvePath }: Config,
  logger: Logger,
  onLoaded: (sha256: string) => void,
): Pick<WatchedFile<CompiledPolicy>, 'current' | 'problem' | 'close'> & {
  history(): ReloadHistory | undefined;
} {
  const { file } = settings.policy;
  if (file === undefined) {
    return {
      current: () => emptyPolicy,
      problem: () => undefined,
      history: () => undefined,
      close: () => undefined,
    };
  }
  const accept = (document: PolicyDocument, text: string, path: string): CompiledPolicy => {
    const policy = toRules(document, path, settings);
    onLoaded(hash('sha256', text));
    for (const warning of lintPolicy(policy)) logger.warn({ path }, warning);
    return policy;
  };
  return openWatchedFile({
    path: resolvePath(file),
    parse: (text, path) => accept(readPolicyDocument(text, path), text, path),
    parseLater: async (text, path) => {
      const document = await readDocument('policy', text, path);
      return () => accept(document, text, path);
    },
    log: (level, message, fields) => logger[level](fields, message),
  });
}

/** The settings that name the policy file, and those that its rules need. */
type RuleSettings = Pick<Config['settings'], 'policy' | 'store' | 'session' | 'prices'>;

/** Reads the policy file of a configuration once. Throws `CONFIG_INVALID`, also when none is configured. */
export function readRules({
  settings,
  resolvePath,
}: {
  readonly settings: RuleSettings;
  readonly resolvePath: Config['resolvePath'];
}): {
  readonly path: string;
  readonly policy: CompiledPolicy;
} {
  const { file } = settings.policy;
  if (file === undefined) {
    throw new ConfigError(
      'CONFIG_INVALID',
      'policy.file: missing; the configuration names no policy file',
    );
  }
  const path = resolvePath(file);
  const document = readPolicyDocument(readTextFile(path, 'policy file'), path);
  return { path, policy: toRules(document, path, settings) };
}

function toRules(document: PolicyDocument, path: string, settings: RuleSettings): CompiledPolicy {
  const policy = toPolicy(document);
  requireMeans(policy, path, settings);
  return policy;
}

function requireMeans(
  policy: CompiledPolicy,
  path: string,
  { store, session, prices, policy: { forks } }: RuleSettings,
): void {
  if (policy.hasWindows && !hasLedger(store)) {
    throw new ConfigError(
      'CONFIG_INVALID',
      `${path} has windows, and nothing says where to keep what was spent: set store.path, or store.kind: redis`,
    );
  }
  if (!hasLedger(store) && forks !== 'deny' && policy.rules.some(isEnforcedSessionLimit)) {
    throw new ConfigError(
      'CONFIG_INVALID',
      `${path} limits what a session spends, which nothing counts over forks of its state: set store.path, or store.kind: redis, or policy.forks: deny`,
    );
  }
  if (policy.usesUsd && !prices.feed) {
    throw new ConfigError(
      'CONFIG_INVALID',
      `${path} has amounts in USD, and nothing says what they are worth: set prices.feed`,
    );
  }
  if (policy.hasSessionLimits && session.fields === 'upstream') {
    throw new ConfigError(
      'CONFIG_INVALID',
      `${path} limits sessions, or has limits in USD: the session's beginning, spending and rate are in its state with session.fields: extended only`,
    );
  }
}

function isEnforcedSessionLimit({ mode, effect }: CompiledRule): boolean {
  return mode === 'enforce' && effect.kind === 'limit' && effect.limits.sessionEv !== undefined;
}

/** Whether a spend ledger is configured. */
export function hasLedger(store: Config['settings']['store']): boolean {
  return store.kind === 'redis' || store.path !== undefined;
}
