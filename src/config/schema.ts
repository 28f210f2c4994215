import { z } from 'zod';
import {
  arbitrumOneChainId,
  arbitrumOneController,
  arbitrumOneTicketBroker,
} from '../chain/arbitrum-one.ts';
import { parseBytes32 } from '../pm/bytes.ts';
import { maxTicketsOfProtocol } from '../pm/ticket-count.ts';
import {
  asksForCredentials,
  auth,
  refuseHalfMtls,
  webhookHeaders,
  webhookUrl,
} from './auth-schema.ts';
import { refuseBlockedPort } from './blocked-ports.ts';
import { discovery } from './discovery-schema.ts';
import { address, amount, count, milliseconds, wholeAmount } from './fields.ts';
import { isLoopback } from './loopback.ts';
import { prices, refuseUsdWithoutRate } from './prices-schema.ts';
import { isHttpUrl, isReference, secretReference } from './secret-urls.ts';
import { store } from './store-schema.ts';

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
      message: 'expected HOST:PORT with a port up to 65535',
    });
    return z.NEVER;
  });

/** Whether the port at the end can be connected to. */
function hasPort(text: string): boolean {
  const port = Number(text.slice(text.lastIndexOf(':') + 1));
  return port > 0 && port <= 65_535;
}

/** An origin as browsers send it: scheme, host and port, and nothing after them. */
const origin = z
  .string()
  .refine(
    (text) => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text,
    'expected an origin such as https://app.example, without a path, * or a default port',
  );

const tls = z.strictObject({
  cert: z.string().min(1),
  key: z.string().min(1),
  /** the CA certificates for clients */
  clientCa: z.string().min(1).optional(),
});

const server = z
  .strictObject({
    listen: listen.prefault('127.0.0.1:7936'),
    /** How many processes share the port; each opens the key for itself. */
    workers: z.int().min(1).max(64).default(1),
    /** Listen on a public address although nobody is authenticated. */
    allowUnauthenticatedPublic: z.boolean().default(false),
    tls: tls.optional(),
    cors: z
      .strictObject({
        /** the origins whose pages may read answers */
        origins: z.array(origin).default([]),
      })
      .prefault({}),
    bodyLimitBytes: z.int().min(1024).max(1_048_576).default(65_536),
    /** All work on a request must be done by then; clients give up after 5 s. */
    requestDeadlineMs: milliseconds.default(4_500),
    /** How many requests may be in work; further ones are refused at once, so that memory is bounded. */
    maxRequestsInWork: z.int().positive().default(4_096),
    /** How long a client may take to send its headers, and the whole request. */
    headersTimeoutMs: milliseconds.default(5_000),
    receiveTimeoutMs: milliseconds.default(10_000),
    /** Load balancers keep connections for up to 600 s, and the signer must not be the first to close one. */
    keepAliveTimeoutMs: milliseconds.default(620_000),
    /** How many connections without a request are kept; when there are more, the one idle for longest is closed. */
    maxIdleConnections: z.int().positive().default(2_048),
    /** How long requests are still served after SIGTERM, while readiness is red. */
    lameDuckMs: z.int().nonnegative().max(600_000).default(6_000),
  })
  .refine(({ headersTimeoutMs, receiveTimeoutMs }) => headersTimeoutMs <= receiveTimeoutMs, {
    path: ['receiveTimeoutMs'],
    message: 'expected at least headersTimeoutMs: headers are part of the request',
  });

const admin = z
  .strictObject({
    listen: z
      .union([z.literal(false), listen], 'expected HOST:PORT, or false for no such listener')
      .prefault('127.0.0.1:7937'),
    /** required at every path but /healthz */
    token: secretReference.optional(),
    tls: tls.optional(),
  })
  .refine(
    ({ listen, token, tls }) =>
      listen === false ||
      isLoopback(listen.host) ||
      token !== undefined ||
      tls?.clientCa !== undefined,
    {
      path: ['listen'],
      message:
        'other machines can reach it: set admin.token, or admin.tls with clientCa, or listen on 127.0.0.1',
    },
  );

/** The fields that the sections of all key providers have. */
export const keySchema = z.looseObject({
  provider: z.string().min(1),
  /** Create the key, and the secret files it needs, on first use: for development. */
  generateIfMissing: z.boolean().default(false),
  /** An earlier key: it only continues the sessions that it has begun. */
  retiring: z.boolean().default(false),
});

/** Where the sender's deposit is. */
const chainId = z.int().positive().default(arbitrumOneChainId);

const staticChain = z.strictObject({
  source: z.literal('static'),
  chainId,
  ticketBroker: address.prefault(arbitrumOneTicketBroker),
  l1Block: count,
  round: count,
  roundBlockHash: bytes32,
  deposit: wholeAmount,
  reserve: wholeAmount,
  withdrawRound: count.prefault(0),
});

const onChain = z
  .strictObject({
    source: z.literal('on-chain'),
    chainId,
    controller: address.optional(),
    /** URLs of JSON-RPC nodes, or secret references to them */
    rpcUrls: z
      .array(
        z
          .string()
          .refine(
            (url) => isReference(url) || isHttpUrl(url),
            'expected an http or https URL, or a reference to one, env:NAME or file:PATH',
          )
          .superRefine(refuseBlockedPort),
      )
      .min(1, 'expected at least one URL'),
    refreshIntervalMs: milliseconds.default(5_000),
    requestTimeoutMs: milliseconds.default(4_000),
    maxAgeMs: milliseconds.default(60_000),
    maxBlockAgeMs: z.int().positive().default(300_000),
    lowDeposit: wholeAmount.optional(),
    lowReserve: wholeAmount.optional(),
  })
  .transform(({ controller, ...chain }, context) => {
    if (controller) return { ...chain, controller };
    if (chain.chainId === arbitrumOneChainId)
      return { ...chain, controller: arbitrumOneController };
    context.addIssue({
      code: 'custom',
      path: ['controller'],
      message: `missing; only the Controller of Arbitrum One (${arbitrumOneChainId}) is known here`,
    });
    return z.NEVER;
  })
  .refine(({ maxAgeMs, refreshIntervalMs }) => maxAgeMs > refreshIntervalMs, {
    path: ['maxAgeMs'],
    message: 'expected more than refreshIntervalMs',
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

const policy = z.strictObject({
  /** rules, limits and windows; without it only the limits of this file hold */
  file: z.string().min(1).optional(),
  /** What happens to another request with a session state that was used before. */
  forks: z.enum(['count', 'deny']).default('count'),
});

const audit = z.strictObject({
  /** the folder of the log's files */
  path: z.string().min(1),
  /** A file that has grown beyond this is ended, and the next one is begun. */
  maxFileBytes: z.int().min(65_536).default(67_108_864),
});

const events = z
  .strictObject({
    /** which keys the data has */
    profile: z.enum(['go-livepeer', 'livepeer-node']).default('go-livepeer'),
    /** the envelope's `gateway` */
    gateway: z.string().max(255).default(''),
    /** bytes of each worker's audit log that may wait for delivery */
    maxPendingBytes: z.int().min(1_048_576).default(268_435_456),
    kafka: z
      .strictObject({
        brokers: z
          .array(
            z
              .string()
              .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:/@]+):\d{1,5}$/, 'expected HOST:PORT')
              .refine(hasPort, 'expected a port, 1 to 65535'),
          )
          .min(1, 'expected a broker'),
        topic: z
          .string()
          .regex(/^[\w.-]{1,249}$/, 'expected 1 to 249 letters, digits, dots, dashes, underscores'),
        /** TLS to the brokers; `ca` is a file of certificates, the system's own where it is left out */
        tls: z.strictObject({ ca: z.string().min(1).optional() }).optional(),
        sasl: z
          .strictObject({
            mechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).default('SCRAM-SHA-512'),
            username: z.string().min(1),
            password: secretReference,
          })
          .optional(),
      })
      .refine(({ sasl, tls }) => sasl?.mechanism !== 'PLAIN' || tls !== undefined, {
        path: ['tls'],
        message: 'SASL PLAIN sends the password as it is: expected TLS, at least `tls: {}`',
      })
      .optional(),
    webhook: z
      .strictObject({
        url: webhookUrl,
        headers: webhookHeaders.default({}),
        timeoutMs: milliseconds.default(10_000),
      })
      .optional(),
    file: z.strictObject({ path: z.string().min(1) }).optional(),
  })
  .refine(({ kafka, webhook, file }) => kafka ?? webhook ?? file, {
    message: 'expected one of kafka, webhook, file',
  });

const traces = z.strictObject({
  otlp: z.strictObject({
    /** OTLP over HTTP, in protobuf */
    endpoint: webhookUrl,
    headers: webhookHeaders.default({}),
    timeoutMs: milliseconds.default(5_000),
  }),
  /** the share of traced requests, among those whose caller has not decided itself */
  sampleRatio: z.number().min(0).max(1).default(0.1),
});

/** The whole configuration; docs/configuration.md explains each field to operators. */
export const configSchema = z
  .strictObject({
    server: server.prefault({}),
    /** Several providers of the same key stand in for each other, the first one preferred. */
    keys: z
      .array(keySchema)
      .min(1, 'expected a key')
      .refine((keys) => keys.length === 0 || keys.some((key) => !key.retiring), {
        message: 'expected a key that is not retiring',
      })
      .refine((keys) => keys.length === 1 || !keys.some((key) => key.generateIfMissing), {
        message: 'generateIfMissing needs a single key: each provider would make another one',
      }),
    failover: z
      .strictObject({
        /** Ask the next provider as well when one takes longer than 95 % of its last calls. */
        hedge: z.boolean().default(false),
        /** Pause before a failed provider is tried again; it doubles while it fails. */
        probeIntervalMs: milliseconds.default(5_000),
      })
      .prefault({}),
    /** How many signatures may wait for the device. */
    maxQueuedSignatures: z.int().positive().default(10_000),
    chain: z.discriminatedUnion('source', [staticChain, onChain]),
    billing: z
      .strictObject({ rule: z.enum(['keep-one-ticket', 'upstream']).default('keep-one-ticket') })
      .prefault({}),
    tickets: tickets.prefault({}),
    prices: prices.prefault({}),
    session: z
      .strictObject({
        /** `delegated`: a key of the instance's own; `key`: the payment key, as go-livepeer does. */
        seal: z.enum(['delegated', 'key']).default('delegated'),
        /** How far the clocks of two instances may be apart. */
        clockSkewMs: z.int().nonnegative().max(3_600_000).default(30_000),
        fields: z.enum(['extended', 'upstream']).default('extended'),
        /** `unique`: no ticket's nonce is used twice; `upstream`: nonces as go-livepeer counts them. */
        ticketNonces: z.enum(['unique', 'upstream']).default('unique'),
        /** Which manifest ids `live` and `fixed` may name: any, or only the auth token's session id. */
        manifestId: z.enum(['any', 'match']).default('any'),
      })
      .prefault({}),
    auth: auth.prefault({}),
    /** Lists orchestrators for clients; off by default. */
    discovery: discovery.optional(),
    byoc: z
      .strictObject({
        /** Sign jobs for orchestrators' own capabilities. */
        enabled: z.boolean().default(false),
      })
      .prefault({}),
    policy: policy.prefault({}),
    /** Where each use of the key is recorded; by default it is not. */
    audit: audit.optional(),
    /** Where an event of each payment is delivered, from the audit log; by default nowhere. */
    events: events.optional(),
    /** Where spending and answers are remembered. */
    store: store.prefault({ kind: 'embedded' }),
    /** The listener for operators, Prometheus and probes. */
    admin: admin.prefault({}),
    /** Where the steps of payments are sent as traces; by default nowhere. */
    traces: traces.optional(),
    log: z
      .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') })
      .prefault({}),
  })
  .superRefine(refuseHalfMtls)
  .superRefine(refuseUsdWithoutRate)
  .refine(({ byoc, auth }) => !byoc.enabled || !auth.webhook || asksForCredentials(auth), {
    path: ['byoc', 'enabled'],
    message:
      'the auth webhook is asked about payments alone, so that anybody could have jobs signed: set one of auth.apiKeys, auth.jwt, auth.mtls',
  })
  .refine(({ events, audit }) => !events || audit, {
    path: ['events'],
    message: 'events are read off the audit log: set audit.path',
  })
  .refine(
    ({ policy, server, store }) =>
      policy.forks === 'count' || server.workers === 1 || store.kind === 'redis',
    {
      path: ['policy', 'forks'],
      message:
        "workers see each other's used states only through Redis: set store.kind: redis, server.workers: 1 or forks: count",
    },
  )
  .refine(({ discovery, chain }) => !discovery?.chain || chain.source === 'on-chain', {
    path: ['discovery', 'chain'],
    message: 'needs chain.source: on-chain',
  });

export type Settings = z.output<typeof configSchema>;
