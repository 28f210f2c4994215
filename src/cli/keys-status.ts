import { z } from 'zod';
import { loadConfig } from '../config/load.ts';
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
});

type KeyStatus = z.infer<typeof statusSchema>['keys'][number];

const timeoutMs = 5_000;
const hourMs = 3_600_000;

/**
 * `keys status`: asks the running signer what each key is used for, and tells from when a retiring one is no longer needed.
 * Throws when no signer answers at the configured address.
 */
export async function showKeyStatus(options: { config: string; url?: string }): Promise<void> {
  const { settings } = await loadConfig(options.config);
  const { listen, tls } = settings.server;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  const base = options.url ?? `${tls ? 'https' : 'http'}://${host}:${listen.port}`;
  const keys = await askForKeys(`${base.replace(/\/$/, '')}/readyz`);
  for (const key of keys) printRows(describe(key));
}

async function askForKeys(url: string): Promise<readonly KeyStatus[]> {
  let body: unknown;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    body = await response.json();
  } catch (cause) {
    throw new ConfigError(
      'CONFIG_INVALID',
      `no signer answers at ${url}; start it, or name its address with --url`,
      { cause },
    );
  }
  const status = statusSchema.safeParse(body);
  if (status.success) return status.data.keys;
  throw new RequestError('BODY_MALFORMED', `what answers at ${url} is not this signer`);
}

function describe(key: KeyStatus): Row[] {
  return [
    ['key', key.address],
    ['role', key.role],
    ['sessions in the last hour', String(key.sessionsInLastHour)],
    ['last payment', key.lastPaymentAt ?? `none since ${key.observedSince}`],
    ...(key.role === 'retiring' ? [['may be withdrawn', describeEnd(key)] as const] : []),
  ];
}

/** A key is no longer needed when no session has paid with it for an hour. */
function describeEnd({ sessionsInLastHour, lastPaymentAt, observedSince }: KeyStatus): string {
  const from = new Date(Date.parse(lastPaymentAt ?? observedSince) + hourMs);
  return sessionsInLastHour === 0 && from.getTime() <= Date.now()
    ? 'yes: no session has paid with it for an hour; unlock its deposit, take it from keys, restart'
    : `not before ${from.toISOString()}, and only if no session pays with it until then`;
}
