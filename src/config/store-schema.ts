import { z } from 'zod';
import { milliseconds } from './fields.ts';
import { isRedisUrl, isReference, secretReference } from './secret-urls.ts';

/** How long an answer is kept for repeats of its request. */
const answersTtlMs = milliseconds.default(600_000);

const hostAndPort = z.string().transform((text, context) => {
  const [, inBrackets, name, digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = inBrackets ?? name;
  const port = Number(digits);
  if (host !== undefined && port > 0 && port <= 65_535) return { host, port };
  context.addIssue({ code: 'custom', message: 'expected HOST:PORT' });
  return z.NEVER;
});

const nodes = z.array(hostAndPort).min(1, 'expected at least one HOST:PORT');

const redis = z
  .strictObject({
    kind: z.literal('redis'),
    /** redis:// or rediss://, or a secret reference to it */
    url: z
      .string()
      .refine(
        (url) => isReference(url) || (isRedisUrl(url) && !url.includes('@')),
        'expected redis://HOST:PORT, rediss://HOST:PORT, or a reference, env:NAME or file:PATH, to a URL with a password',
      )
      .optional(),
    /** The sentinels that are asked which server is the master. */
    sentinel: z
      .strictObject({
        /** its name in the sentinels' configuration */
        master: z.string().min(1),
        nodes,
        /** the login at the sentinels themselves */
        username: z.string().min(1).optional(),
        password: secretReference.optional(),
      })
      .optional(),
    cluster: z.strictObject({ nodes }).optional(),
    /** the login at the servers, with `sentinel` and `cluster`; a URL has its own */
    username: z.string().min(1).optional(),
    password: secretReference.optional(),
    /** paths of PEM files; with `sentinel` and `cluster`, TLS is used where this section is there */
    tls: z
      .strictObject({
        ca: z.string().min(1).optional(),
        cert: z.string().min(1).optional(),
        key: z.string().min(1).optional(),
        /** the name in the servers' certificates */
        serverName: z.string().min(1).optional(),
      })
      .optional(),
    /** What must have a payment's reservation before it is signed. */
    acknowledge: z
      .union(
        [z.enum(['none', 'aof']), z.strictObject({ replicas: z.int().min(1).max(100) })],
        'expected none, aof or { replicas: NUMBER }',
      )
      .default('none'),
    /** the prefix of the names of everything that the signer keeps there */
    keyPrefix: z.string().default('livepeer-hsm-signer:'),
    /** Whether payments go on without limits while Redis can't be reached. */
    onFailure: z.enum(['deny', 'allow']).default('deny'),
    answersTtlMs,
    /** bytes of Redis' memory for the answers of all instances; where they are used up, whoever holds most loses its oldest */
    answersMaxBytes: z.int().nonnegative().default(268_435_456),
  })
  .superRefine((store, context) => {
    const refuse = (message: string, ...path: string[]): void => {
      context.addIssue({ code: 'custom', path, message });
    };
    const { url, sentinel, cluster, username, password, tls, acknowledge, onFailure } = store;
    if ([url, sentinel, cluster].filter((servers) => servers !== undefined).length !== 1) {
      refuse('expected one of url, sentinel, cluster');
    }
    if (url !== undefined && (username !== undefined || password !== undefined)) {
      refuse('a user name and a password are part of the URL', 'username');
    }
    if (username !== undefined && password === undefined) {
      refuse('expected the password of username too', 'password');
    }
    if (sentinel?.username !== undefined && sentinel.password === undefined) {
      refuse('expected the password of username too', 'sentinel', 'password');
    }
    if (tls && url?.startsWith('redis://')) refuse('needs a URL that begins with rediss://', 'tls');
    if (tls && (tls.cert === undefined) !== (tls.key === undefined)) {
      refuse('expected cert and key, or neither', 'tls');
    }
    if (acknowledge !== 'none' && onFailure === 'allow') {
      refuse(
        'with onFailure: allow payments go on without Redis, acknowledged or not: expected deny',
        'onFailure',
      );
    }
  });

/** Where spending and answers are remembered. */
export const store = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('embedded'),
    /** the folder of the spend ledger; needed where the policy file has windows */
    path: z.string().min(1).optional(),
    answersTtlMs,
    /** bytes of memory for answers; where they are used up, whoever holds most loses its oldest */
    answersMaxBytes: z.int().nonnegative().default(8_388_608),
  }),
  redis,
]);
