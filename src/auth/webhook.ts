import type { SessionState } from '../pm/session-state.ts';
import { ConfigError } from '../errors.ts';
import { Secret } from '../secret.ts';
import {
  type Mutable,
  createStructReader,
  maxInt64,
  minInt64,
  readInteger,
  readObject,
  readString,
} from '../wire/go-struct.ts';
import { type JsonValue, formatGoJsonString, parseJson } from '../wire/json.ts';
import { readMaxPrice } from '../wire/max-price.ts';
import {
  AuthError,
  type Authorization,
  type Caller,
  type PaymentAuthorizer,
  WebhookRejectionError,
} from './authorization.ts';

export type WebhookOptions = {
  readonly url: string;
  /** sent with every question; may override Content-Type */
  readonly headers: Readonly<Record<string, string | Secret>>;
  readonly timeoutMs: number;
  /** the books as JSON, in go-livepeer's own fields */
  readonly encodeState: (state: SessionState) => string;
};

const maxAnswerBytes = 65_536;

/**
 * go-livepeer's auth webhook: asked with the caller's headers and the books as they would become, before anything
 * is signed. No answer, or one that is not understood, is `AUTH_WEBHOOK_FAILED`. Throws `CONFIG_INVALID` for a header that
 * can't be sent.
 */
export function createWebhookAuthorizer(options: WebhookOptions): PaymentAuthorizer {
  requireSendable(options.headers);
  return async (caller, projected, signal) => {
    let answer: Uint8Array;
    try {
      answer = await ask(options, caller, projected, signal);
    } catch (cause) {
      throw new AuthError('AUTH_WEBHOOK_FAILED', 'the auth webhook could not be asked', { cause });
    }
    return readAnswer(answer);
  };
}

async function ask(
  { url, headers, timeoutMs, encodeState }: WebhookOptions,
  caller: Caller,
  projected: SessionState,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...revealHeaders(headers) },
    body: `{"headers":${encodeHeaders(caller.headers)},"state":${encodeState(projected)}}`,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the webhook answered with HTTP status ${response.status}, not 200`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxAnswerBytes)
      throw new Error(`the webhook's answer is over ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What belongs to the connection, and is set for it. */
const headersOfConnection =
  /^(?:connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i;

/**
 * Looks at names and values once at the start: whoever sends them would refuse them at each payment, in words that quote them.
 * Throws `CONFIG_INVALID`, which names the header and never its value.
 */
export function requireSendable(headers: WebhookOptions['headers']): void {
  for (const [name, value] of Object.entries(revealHeaders(headers))) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        'auth.webhook.headers: a name has characters that no header name may have',
      );
    }
    if (headersOfConnection.test(name)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `auth.webhook.headers.${name}: this header belongs to the connection; leave it out`,
      );
    }
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `auth.webhook.headers.${name}: its value can't be sent: it has a line break, another control character, or one that ` +
          'is not in ISO 8859-1',
      );
    }
  }
}

function revealHeaders(headers: WebhookOptions['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      value instanceof Secret ? value.reveal() : value,
    ]),
  );
}

function encodeHeaders(headers: Caller['headers']): string {
  const members = [...headers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, values]) =>
        `${formatGoJsonString(name)}:[${values.map(formatGoJsonString).join(',')}]`,
    );
  return `{${members.join(',')}}`;
}

type Answer = Mutable<Authorization> & { status: bigint; reason: string; code: string };

/** characters of the webhook's own code that are passed on */
const longestCode = 128;

const int64 = (value: JsonValue, field: string) => readInteger(value, field, minInt64, maxInt64);

const readMembers = createStructReader<Answer>({
  status: (answer, value, field) => (answer.status = int64(value, field)),
  reason: (answer, value, field) => (answer.reason = readString(value, field)),
  // a field of newer webhooks, which others may fill with anything
  code: (answer, value) => {
    if (value.kind === 'string') answer.code = value.value.slice(0, longestCode);
  },
  expiry: (answer, value, field) => (answer.expiry = int64(value, field)),
  auth_id: (answer, value, field) => (answer.authId = readString(value, field)),
  maxPrice: {
    read: (answer, value, field) => (answer.maxPrice = readMaxPrice(value, field, answer.maxPrice)),
    clear: (answer) => (answer.maxPrice = undefined),
  },
});

/**
 * Reads the webhook's JSON. Throws {@link WebhookRejectionError} for its own "no" with status 400 to 599,
 * `AUTH_WEBHOOK_ANSWER_INVALID` for another status, `AUTH_WEBHOOK_FAILED` for what is no answer.
 */
export function readAnswer(body: Uint8Array): Authorization {
  const answer: Answer = {
    status: 0n,
    reason: '',
    code: '',
    expiry: 0n,
    authId: '',
    maxPrice: undefined,
  };
  try {
    readMembers(answer, readObject(parseJson(body), 'answer'));
  } catch (cause) {
    throw new AuthError('AUTH_WEBHOOK_FAILED', "the auth webhook's answer is malformed", { cause });
  }
  const { status, reason, code, ...authorization } = answer;
  if (status <= 0n) {
    throw new AuthError('AUTH_WEBHOOK_FAILED', "the auth webhook's answer has no positive status");
  }
  if (status === 200n) return authorization;
  if (status < 400n || status > 599n) {
    throw new AuthError(
      'AUTH_WEBHOOK_ANSWER_INVALID',
      `the auth webhook answered with status ${status.toString()}, not 200 or 400 to 599`,
    );
  }
  throw new WebhookRejectionError(
    Number(status),
    reason === '' ? `signer auth rejected request with status ${status.toString()}` : reason,
    code === '' ? undefined : code,
  );
}
