import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import { z } from 'zod';
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
  worker: z.object({ instance: z.string(), slot: z.int(), count: z.int() }),
});

type WorkerStatus = z.infer<typeof statusSchema>;
type KeyStatus = WorkerStatus['keys'][number];

const timeoutMs = 2_500;
const hourMs = 3_600_000;
/** Connections are dealt to workers in turn; others may come in between. */
const asksPerWorker = 8;
const maxFailures = 2;

/**
 * `keys status`: asks every worker of the running signer what each key is used for, and tells from when a retiring one is no longer
 * needed. Throws when no signer answers at the configured address.
 */
export async function showKeyStatus(options: { config: string; url?: string }): Promise<void> {
  const config = await loadConfig(options.config);
  const url = `${(options.url ?? ownUrl(config)).replace(/\/$/, '')}/readyz`;
  const heard = await askAllWorkers(url, config);
  const [first] = heard;
  const missing = heard.length === 0 ? 0 : (first?.worker.count ?? 0) - heard.length;
  for (const key of first?.keys ?? []) {
    const reports = heard.flatMap(({ keys }) =>
      keys.filter(({ address }) => address === key.address),
    );
    printRows(describe(merge(key, reports), missing));
  }
}

/** Where this configuration's signer listens, as this machine reaches it. */
function ownUrl({ settings: { server } }: Config): string {
  const { host, port } = server.listen;
  const here = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `${server.tls ? 'https' : 'http'}://${here.includes(':') ? `[${here}]` : here}:${port}`;
}

/**
 * What each worker of the instance that answers first says, over connections of their own, which reach one after the other. One
 * that does not answer is left out, unless nobody does.
 */
async function askAllWorkers(url: string, config: Config): Promise<WorkerStatus[]> {
  const heard = new Map<number, WorkerStatus>();
  let instance: string | undefined;
  let count = 1;
  let failures = 0;
  for (let asked = 0; heard.size < count && asked < count * asksPerWorker; asked += 1) {
    try {
      const status = await askOne(url, config);
      instance ??= status.worker.instance;
      if (status.worker.instance !== instance) continue;
      ({ count } = status.worker);
      heard.set(status.worker.slot, status);
    } catch (error) {
      failures += 1;
      if (failures < maxFailures) continue;
      if (heard.size === 0) throw error;
      break;
    }
  }
  return [...heard.values()];
}

async function askOne(url: string, config: Config): Promise<WorkerStatus> {
  let body: unknown;
  try {
    body = JSON.parse(await get(url, config));
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new ConfigError(
      'CONFIG_INVALID',
      `no signer answers at ${url}${code}; start it, or name its address with --url`,
      { cause },
    );
  }
  const status = statusSchema.safeParse(body);
  if (status.success) return status.data;
  throw new RequestError('BODY_MALFORMED', `what answers at ${url} is not this signer`);
}

/** The body of an answer, whatever its status, over a connection of its own. */
function get(url: string, { settings: { server }, resolvePath }: Config): Promise<string> {
  const own = server.tls && readFileSync(resolvePath(server.tls.cert));
  return new Promise((resolve, reject) => {
    const options = { agent: false, signal: AbortSignal.timeout(timeoutMs) };
    const take = (response: http.IncomingMessage): void => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
      response.on('error', reject);
    };
    const request = url.startsWith('https:')
      ? https.get(url, { ...options, ...(own && trustOwn(own)) }, take)
      : http.get(url, options, take);
    request.on('error', reject);
  });
}

/** The signer's own certificate is trusted whoever issued it, and by whatever name the signer is reached. */
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

/** What all workers say of a key: a session that several have seen counts for each, so it is an upper bound. */
function merge(key: KeyStatus, reports: readonly KeyStatus[]): KeyStatus {
  const latest = (times: readonly (string | null)[]): string | null =>
    times.reduce((one, other) => ((other ?? '') > (one ?? '') ? other : one), null);
  return {
    ...key,
    sessionsInLastHour: reports.reduce((sum, report) => sum + report.sessionsInLastHour, 0),
    lastPaymentAt: latest(reports.map(({ lastPaymentAt }) => lastPaymentAt)),
    observedSince: latest(reports.map(({ observedSince }) => observedSince)) ?? key.observedSince,
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
