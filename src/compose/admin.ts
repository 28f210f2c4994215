import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describeAdminApi } from '../admin/admin-api.ts';
import { createAdminApp } from '../admin/admin-app.ts';
import type { AdminSource } from '../admin/admin-source.ts';
import { describeApi } from '../admin/openapi.ts';
import { createPage } from '../admin/page/page.ts';
import type { Config } from '../config/load.ts';
import { readSecret } from '../config/secrets.ts';
import { ConfigError, isSignerError } from '../errors.ts';
import { listen } from '../http/listen.ts';
import { describeEvents } from '../payments/describe-events.ts';
import type { Secret } from '../secret.ts';
import type { Logger } from '../telemetry/logger.ts';
import { openPageParts } from './admin-page.ts';
import { toTlsFiles, watchTlsFiles } from './tls.ts';

export type AdminListener = {
  readonly url: string;
  close(): Promise<void>;
};

/** For operators, Prometheus and probes, which are few and ask quickly. */
const limits = {
  headersTimeoutMs: 5_000,
  receiveTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  answerTimeoutMs: 10_000,
  maxIdleConnections: 128,
};

const shortestToken = 16;

/**
 * Opens the admin listener over what `source` tells; undefined where `admin.listen` is false. Throws `CONFIG_INVALID` and
 * `SECRET_UNREADABLE`.
 */
export async function openAdmin(
  config: Config,
  logger: Logger,
  source: AdminSource,
): Promise<AdminListener | undefined> {
  const { admin } = config.settings;
  if (admin.listen === false) return undefined;
  const { host, port } = admin.listen;
  const tls = toTlsFiles(config, 'admin.tls', admin.tls);
  const parts = openPageParts(config, logger);
  const pageSource = { ...source, ...parts };
  const log = (level: 'warn' | 'error', message: string, fields: object): void =>
    logger[level](fields, message);
  const page = createPage({ source: pageSource, log });
  const app = createAdminApp({
    source: pageSource,
    page,
    documents: {
      '/openapi.json': describeApi(),
      '/openapi-admin.json': describeAdminApi(),
      '/asyncapi.json': describeEvents(),
    },
    token: readAdminToken(config),
    demandsCertificate: tls?.clientCa !== undefined,
    ownFingerprint: () => tls && new X509Certificate(readFileSync(tls.cert)).fingerprint256,
    log,
  });
  try {
    const server = await listen(app, { ...limits, setting: 'admin.listen', host, port, tls });
    const watched = tls && watchTlsFiles(tls, logger, (renewed) => server.renewTls(renewed));
    return {
      url: server.url,
      close: async () => {
        watched?.close();
        page.close();
        await server.close();
        await parts.close();
      },
    };
  } catch (cause) {
    page.close();
    if (isSignerError(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError(
      'CONFIG_INVALID',
      `admin.listen: can't listen on ${host}:${port}: ${reason}`,
      { cause },
    );
  }
}

/** Reads the token of the admin listener. Throws `SECRET_UNREADABLE`, and `CONFIG_INVALID` for a token that could be guessed. */
export function readAdminToken({
  settings: { admin },
  resolvePath,
}: Pick<Config, 'resolvePath'> & { readonly settings: Pick<Config['settings'], 'admin'> }):
  Secret | undefined {
  if (admin.token === undefined) return undefined;
  const setting = 'admin.token';
  const token = readSecret(admin.token, { setting, resolvePath, createMissingFiles: false });
  if (/^[\x21-\x7e]+$/.test(token.reveal()) && token.reveal().length >= shortestToken) return token;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${setting}: expected at least ${shortestToken} visible ASCII characters, such as openssl rand -hex 32 prints`,
  );
}
