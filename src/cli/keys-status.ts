import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import { z } from 'zod';
import { readAdminToken } from '../compose/admin.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { ConfigError, RequestError } from '../errors.ts';
import { type Row, printRows } from './print-rows.ts';

const statusSchema = z.object({
  keys: z.array(
    z.object({
      address: z.string(),
      role: z.enum(['active', 'retiring']),
      sessionsInLastHour: z.number(),
      lastPaymentAt: z.string().nullable(),
      observedSince: z.string(),
    }),
  ),
  workers: z.array(z.object({ isAnswering: z.boolean() })),
});

type KeyStatus = z.infer<typeof statusSchema>['keys'][number];

const timeoutMs = 5_000;
const hourMs = 3_600_000;

/**
 * `keys status`: asks the running signer how each key is used, and tells when a retiring one is no longer needed. Throws when no
 * signer answers at the configured admin listener.
 */
export async function showKeyStatus(options: { config: string; url?: string }): Promise<void> {
  const config = await loadConfig(options.config);
  const url = `${(options.url ?? adminUrl(config)).replace(/\/$/, '')}/status`;
  const { keys, workers } = await ask(url, config);
  const missing = workers.filter(({ isAnswering }) => !isAnswering).length;
  for (const key of keys) printRows(describe(key, missing));
}

/** The URL at which this configuration's signer answers operators on this machine. Throws `CONFIG_INVALID` where it does not. */
function adminUrl({ settings: { admin } }: Config): string {
  if (admin.listen === false) {
    throw new ConfigError(
      'CONFIG_INVALID',
      'admin.listen: it is false, and so the signer answers no operator; give it an address',
    );
  }
  const { host, port } = admin.listen;
  const here = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `${admin.tls ? 'https' : 'http'}://${here.includes(':') ? `[${here}]` : here}:${port}`;
}

async function ask(url: string, config: Config): Promise<z.infer<typeof statusSchema>> {
  let body: unknown;
  try {
    body = JSON.parse(await get(url, config));
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new ConfigError(
      'CONFIG_INVALID',
      `no signer answers at ${url}${code}; start it, or name its admin listener with --url`,
      { cause },
    );
  }
  const status = statusSchema.safeParse(body);
  if (status.success) return status.data;
  throw new RequestError('BODY_MALFORMED', `what answers at ${url} is not this signer`);
}

/**
 * The body of an answer, whatever its status. The request authenticates with the listener's own certificate and key, which this
 * machine's operator can read.
 */
function get(url: string, config: Config): Promise<string> {
  const { settings, resolvePath } = config;
  const { tls } = settings.admin;
  const token = readAdminToken(config);
  const headers = token ? { Authorization: `Bearer ${token.reveal()}` } : {};
  return new Promise((resolve, reject) => {
    const options = { agent: false, headers, signal: AbortSignal.timeout(timeoutMs) };
    const take = (response: http.IncomingMessage): void => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
      response.on('error', reject);
    };
    const request =
      tls && url.startsWith('https:')
        ? https.get(
            url,
            {
              ...options,
              ...trustOwn(readFileSync(resolvePath(tls.cert))),
              cert: readFileSync(resolvePath(tls.cert)),
              key: readFileSync(resolvePath(tls.key)),
            },
            take,
          )
        : http.get(url, options, take);
    request.on('error', reject);
  });
}

/** Trusts the signer's own certificate, whoever issued it, under whatever name the signer is reached. */
function trustOwn(pem: Buffer): https.RequestOptions {
  const { fingerprint256 } = new X509Certificate(pem);
  return {
    ca: pem,
    allowPartialTrustChain: true,
    checkServerIdentity: (host, certificate) =>
      certificate.fingerprint256 === fingerprint256
        ? undefined
        : checkServerIdentity(host, certificate),
  };
}

function describe(key: KeyStatus, missing: number): Row[] {
  return [
    ['key', key.address],
    ['role', key.role],
    ['sessions in the last hour', String(key.sessionsInLastHour)],
    ['last payment', key.lastPaymentAt ?? `none since ${key.observedSince}`],
    ...(missing > 0 ? [['not heard', `${missing} of the signer's workers`] as const] : []),
    ...(key.role === 'retiring' ? [['no longer needed', describeEnd(key, missing)] as const] : []),
  ];
}

/** A key is no longer needed when no session has paid with it for an hour, by any worker of any instance. */
function describeEnd(
  { sessionsInLastHour, lastPaymentAt, observedSince }: KeyStatus,
  missing: number,
): string {
  if (missing > 0) return 'not known: not all workers have answered; ask again';
  const from = new Date(Date.parse(lastPaymentAt ?? observedSince) + hourMs);
  return sessionsInLastHour === 0 && from.getTime() <= Date.now()
    ? 'by this instance: no session has paid with it for an hour. When every other instance that has it says so too, unlock its ' +
        'deposit, take it from keys, restart'
    : `not before ${from.toISOString()}, and only if no session pays with it until then`;
}
