import { type Stats, statSync } from 'node:fs';
import { readAdminToken } from '../compose/admin.ts';
import { toTlsFiles } from '../compose/tls.ts';
import { createProviderContext } from '../compose/key.ts';
import { readWebhookUrl, requireServiceUrls } from '../compose/discovery.ts';
import { readPem } from '../compose/events.ts';
import { readHeaders } from '../compose/headers.ts';
import { readRedisOptions } from '../compose/redis-options.ts';
import { readRules } from '../compose/rules.ts';
import { parseApiKeyFile } from '../config/api-key-file.ts';
import { refuseOpenServer } from '../config/exposure.ts';
import { type ConfigDraft, type KeyConfig, readConfig } from '../config/load.ts';
import { readTextFile } from '../config/read-text-file.ts';
import { readRpcUrl } from '../config/secret-urls.ts';
import { readSecret } from '../config/secrets.ts';
import { ConfigError, isSignerError } from '../errors.ts';
import { describeReadFailure } from '../files/plain-file.ts';
import { readTlsFiles } from '../http/tls.ts';
import { ProviderError } from '../keys/provider.ts';
import { Secret } from '../secret.ts';
import { createLogger } from '../telemetry/logger.ts';

/** Reports a problem, so that the check goes on. Throws errors that are not problems of the configuration. */
type Report = (error: unknown) => void;

/** Checks something that a field names, and may say what it found. Throws or reports what is wrong. */
type Check = readonly [field: string, look: (report: Report) => unknown];

/**
 * `config check`: checks the file and everything that it names: files, secrets and URLs. It opens nothing that `serve` would
 * connect to. Throws `CONFIG_INVALID` with every problem found.
 */
export async function checkConfig(options: { config: string }): Promise<void> {
  const draft = await readConfig(options.config);
  const problems = new Set(draft.problems);
  const notes: string[] = [];
  for (const [field, look] of listChecks(draft)) {
    const report: Report = (error) => {
      if (!isSignerError(error)) throw error;
      const message = error.message.replaceAll('\n', '\n  ');
      problems.add(message.startsWith(field) ? message : `${field}: ${message}`);
    };
    try {
      const note = await look(report);
      if (typeof note === 'string') notes.push(note);
    } catch (error) {
      report(error);
    }
  }
  const { config } = draft;
  if (!config || problems.size > 0) return draft.refuse([...problems]);
  const { settings, keys } = config;
  const { host, port } = settings.server.listen;
  process.stdout.write(
    `${options.config} is valid: key from ${keys.map(({ plugin }) => plugin.name).join(', ')}, chain facts ${settings.chain.source}, ` +
      `listening on ${host}:${port}${notes.map((note) => `, ${note}`).join('')}\n`,
  );
}

/** The checks of the sections that are valid in themselves; for the others they would only repeat what is wrong there. */
function listChecks({ sections, keys, resolvePath }: ConfigDraft): Check[] {
  const { server, admin, auth, policy, store, session, chain, audit, events, prices, traces } =
    sections;
  const { orchestrators, webhookUrl } = sections.discovery ?? {};
  const checks: Check[] = [];
  if (server && auth) checks.push(['server.listen', () => refuseOpenServer({ server, auth })]);
  for (const [setting, tls] of [
    ['server.tls', server?.tls],
    ['admin.tls', admin?.tls],
  ] as const) {
    const files = toTlsFiles({ resolvePath }, setting, tls);
    if (files) checks.push([setting, () => void readTlsFiles(files)]);
  }
  if (admin) {
    checks.push(['admin.token', () => void readAdminToken({ settings: { admin }, resolvePath })]);
  }
  for (const key of keys) checks.push(checkKey(key, resolvePath));
  if (chain?.source === 'on-chain') {
    for (const [index, url] of chain.rpcUrls.entries()) {
      checks.push([`chain.rpcUrls.${index}`, () => void readRpcUrl(url, index, resolvePath)]);
    }
  }
  for (const [setting, headers] of [
    ['auth.webhook.headers', auth?.webhook?.headers],
    ['events.webhook.headers', events?.webhook?.headers],
    ['traces.otlp.headers', traces?.otlp.headers],
  ] as const) {
    for (const [name, value] of Object.entries(headers ?? {})) {
      const look = () => void readHeaders({ [name]: value }, resolvePath, setting);
      checks.push([`${setting}.${name}`, look]);
    }
  }
  if (orchestrators) {
    checks.push(['discovery.orchestrators', () => requireServiceUrls(orchestrators)]);
  }
  if (webhookUrl !== undefined) {
    checks.push(['discovery.webhookUrl', () => void readWebhookUrl(webhookUrl, resolvePath)]);
  }
  const { sasl, tls } = events?.kafka ?? {};
  if (sasl) {
    const setting = 'events.kafka.sasl.password';
    const options = { setting, resolvePath, createMissingFiles: false };
    checks.push([setting, () => void readSecret(sasl.password, options)]);
  }
  if (tls?.ca !== undefined) {
    const path = resolvePath(tls.ca);
    checks.push(['events.kafka.tls.ca', () => void readPem(path)]);
  }
  if (policy?.file !== undefined && store && session && prices) {
    const settings = { policy, store, session, prices };
    const countRules = () => readRules({ settings, resolvePath }).policy.ruleIds.length;
    checks.push(['policy.file', () => `rules: ${countRules()}`]);
  }
  const keyFile = auth?.apiKeys?.file;
  if (keyFile !== undefined) {
    const path = resolvePath(keyFile);
    const countKeys = () => parseApiKeyFile(readTextFile(path, 'file of API keys'), path).size;
    checks.push(['auth.apiKeys.file', () => `API keys: ${countKeys()}`]);
  }
  if (store?.kind === 'redis') {
    checks.push(['store', () => void readRedisOptions(store, resolvePath)]);
  } else if (store?.path !== undefined) {
    checks.push(['store.path', requireFolder(resolvePath(store.path))]);
  }
  if (audit) checks.push(['audit.path', requireFolder(resolvePath(audit.path))]);
  return checks;
}

/**
 * Checks a key's section. A secret that can't be read does not keep the plugin from looking for more problems: it gets an empty
 * one.
 */
function checkKey(key: KeyConfig, resolvePath: ConfigDraft['resolvePath']): Check {
  const { plugin, section } = key;
  const [field = ''] = key.name.split(':');
  const context = createProviderContext(
    { resolvePath },
    { ...key, generateIfMissing: false },
    createLogger('warn'),
  );
  return [
    field,
    async (report) => {
      const readSecret = (reference: string): Secret => {
        try {
          return context.readSecret(reference);
        } catch (error) {
          if (!isMadeOnFirstUse(key, error)) report(error);
          return new Secret('');
        }
      };
      try {
        await plugin.check?.(section, { ...context, readSecret });
      } catch (error) {
        if (!isMadeOnFirstUse(key, error)) report(underField(field, error));
      }
    },
  ];
}

/**
 * Whether the error is about a file that is created on first use: of such a key neither its own files nor those of its secrets
 * exist yet.
 */
function isMadeOnFirstUse({ generateIfMissing }: KeyConfig, error: unknown): boolean {
  if (!generateIfMissing || !isSignerError(error)) return false;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return (
    error.code === 'KEY_NOT_FOUND' || (error.code === 'SECRET_UNREADABLE' && code === 'ENOENT')
  );
}

/** Puts the section's path before the field of a plugin's error: a plugin does not know where its section is. */
function underField(section: string, error: unknown): unknown {
  if (!(error instanceof ProviderError) || error.data.field === undefined) return error;
  const { code, message, data } = error;
  return new ProviderError(code, `${section}.${data.field}: ${message}`, { cause: error });
}

/** Checks a folder; a missing one is created by `serve`. */
function requireFolder(path: string): () => void {
  return () => {
    let found: Stats | undefined;
    try {
      found = statSync(path, { throwIfNoEntry: false });
    } catch (cause) {
      const reason = describeReadFailure(cause);
      throw new ConfigError('CONFIG_INVALID', `folder ${path} can't be looked at: ${reason}`, {
        cause,
      });
    }
    if (!found || found.isDirectory()) return;
    throw new ConfigError('CONFIG_INVALID', `${path} is no folder`);
  };
}
