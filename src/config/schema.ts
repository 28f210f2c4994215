import { z } from 'zod';
import { parseBytes32 } from '../pm/bytes.ts';
import { maxTicketsOfProtocol } from '../pm/ticket-count.ts';
import { capabilityOfPipeline } from '../policy/pipelines.ts';
import { parseAmount } from './units.ts';

const amountHint = 'an amount with its unit, such as "0.5 ether", "30 gwei" or "1200 wei"';

/** wei, possibly a fraction */
const amount = z.string(`expected ${amountHint}`).transform((text, context) => {
  const wei = parseAmount(text);
  if (wei) return wei;
  context.addIssue({ code: 'custom', message: `expected ${amountHint}, not "${text}"` });
  return z.NEVER;
});

/** whole wei */
const wholeAmount = amount.transform((wei, context) => {
  if (wei.denominator === 1n) return wei.numerator;
  context.addIssue({ code: 'custom', message: 'expected whole wei' });
  return z.NEVER;
});

const count = z.int().nonnegative().transform(BigInt);
const milliseconds = z.int().positive().max(3_600_000);

const bytes32 = z.string().transform((text, context) => {
  const word = parseBytes32(text);
  if (word) return word;
  context.addIssue({ code: 'custom', message: 'expected 0x and 64 hex digits' });
  return z.NEVER;
});

const listenPattern = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/;

/** `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`; without a host it is 127.0.0.1. */
const listen = z
  .union([z.string(), z.int().min(0).max(65_535)], 'expected HOST:PORT')
  .transform((address, context) => {
    const text = String(address);
    const [, host = '', port = ''] = listenPattern.exec(text) ?? [];
    if (port !== '' && Number(port) <= 65_535) {
      return { host: host === '' ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''), port: Number(port) };
    }
    context.addIssue({
      code: 'custom',
      message: `expected HOST:PORT with a port up to 65535, not "${text}"`,
    });
    return z.NEVER;
  });

const server = z
  .strictObject({
    listen: listen.prefault('127.0.0.1:7936'),
    /** Listen on a public address although nobody is authenticated. */
    allowUnauthenticatedPublic: z.boolean().default(false),
    tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
    bodyLimitBytes: z.int().min(1024).max(1_048_576).default(65_536),
    /** All work on a request must be done by then; clients give up after 5 s. */
    requestDeadlineMs: milliseconds.default(4_500),
    /** How long a client may take to send its headers, and the whole request. */
    headersTimeoutMs: milliseconds.default(5_000),
    receiveTimeoutMs: milliseconds.default(10_000),
    keepAliveTimeoutMs: milliseconds.default(600_000),
  })
  .refine(({ headersTimeoutMs, receiveTimeoutMs }) => headersTimeoutMs <= receiveTimeoutMs, {
    path: ['receiveTimeoutMs'],
    message: 'expected at least headersTimeoutMs: headers are part of the request',
  });

/** What is common to the sections of all key providers. */
export const keySchema = z.looseObject({
  provider: z.string().min(1),
  /** Make the key, and the secret files it needs, on first use: for development. */
  generateIfMissing: z.boolean().default(false),
});

const staticChain = z.strictObject({
  source: z.literal('static'),
  l1Block: count,
  round: count,
  roundBlockHash: bytes32,
  deposit: wholeAmount,
  reserve: wholeAmount,
  withdrawRound: count.prefault(0),
});

const tickets = z.strictObject({
  maxTicketEv: amount.prefault('3000000000000 wei'),
  maxTotalEv: amount.prefault('20000000000000 wei'),
  depositMultiplier: count
    .refine((multiplier) => multiplier > 0n, 'expected at least 1')
    .prefault(1),
  maxTickets: count
    .refine((tickets) => tickets >= 1n && tickets <= maxTicketsOfProtocol, 'expected 1 to 100')
    .prefault(maxTicketsOfProtocol),
});

const capabilityPrice = z.strictObject({
  pipeline: z.string().transform((name, context) => {
    const capability = capabilityOfPipeline(name);
    if (capability !== undefined) return capability;
    context.addIssue({ code: 'custom', message: `there is no pipeline "${name}"` });
    return z.NEVER;
  }),
  model: z.string().min(1).default('default'),
  maxPrice: amount,
});

const prices = z.strictObject({
  /** per pixel, second or request */
  maxPrice: z
    .strictObject({ lv2v: amount.optional(), live: amount.optional(), fixed: amount.optional() })
    .prefault({}),
  capabilities: z.array(capabilityPrice).default([]),
});

/** Headers whose values are credentials. */
const credentialHeader = /^(?:proxy-)?authorization$|^cookie$|(?:key|secret|token)$/i;

const webhookHeaders = z.record(z.string(), z.string()).superRefine((headers, context) => {
  for (const [name, value] of Object.entries(headers)) {
    if (!credentialHeader.test(name) || /^(?:env|file):/.test(value)) continue;
    context.addIssue({
      code: 'custom',
      path: [name],
      message: 'expected a reference, env:NAME or file:PATH, not the credential itself',
    });
  }
});

const webhook = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, abort: true, error: 'expected an http or https URL' })
    .refine((url) => new URL(url).username + new URL(url).password === '', {
      message: 'expected a URL without user name and password: send credentials by `headers`',
    }),
  /** header name to secret reference or plain text */
  headers: webhookHeaders.default({}),
  timeoutMs: milliseconds.default(5_000),
});

const auth = z.strictObject({
  webhook: webhook.optional(),
  /** addresses (with a prefix length for networks) whose `Signer-Auth-Id` is believed */
  trustedProxies: z
    .array(
      z.union(
        [z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()],
        'expected an IP address, or a network such as 10.0.0.0/8',
      ),
    )
    .default([]),
});

/** The whole configuration; what each field means to an operator is told in docs/configuration.md. */
export const configSchema = z.strictObject({
  server: server.prefault({}),
  keys: z.array(keySchema).length(1, 'expected exactly one key'),
  /** Signatures that may wait for the device. */
  maxQueuedSignatures: z.int().positive().default(10_000),
  chain: staticChain,
  billing: z
    .strictObject({ rule: z.enum(['keep-one-ticket', 'upstream']).default('keep-one-ticket') })
    .prefault({}),
  tickets: tickets.prefault({}),
  prices: prices.prefault({}),
  session: z
    .strictObject({
      seal: z.literal('key').default('key'),
      fields: z.enum(['extended', 'upstream']).default('extended'),
    })
    .prefault({}),
  auth: auth.prefault({}),
  log: z
    .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') })
    .prefault({}),
});

export type Settings = z.output<typeof configSchema>;
