import type { SessionState } from '../pm/session-state.ts';
import { type OutgoingHeaders, revealHeaders } from '../outgoing/secret-headers.ts';
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
import { describeFetchFailure } from './fetch-failure.ts';
import {
  AuthError,
  type Authorization,
  type Caller,
  type PaymentAuthorizer,
  WebhookRejectionError,
} from './authorization.ts';
import { isPrincipalName, principalNameForm } from './principal-name.ts';
import { noTraceContext } from '../trace-context.ts';
import { traceStep } from '../trace-steps.ts';

export type WebhookOptions = {
  readonly url: string;
  /** sent with every question; may override Content-Type */
  readonly headers: OutgoingHeaders;
  readonly timeoutMs: number;
  /** the books as JSON, in go-livepeer's own fields */
  readonly encodeState: (state: SessionState) => string;
};

const maxAnswerBytes = 65_536;

/** Unix seconds, in the year 5138. A time in milliseconds, sent by mistake, is larger. */
const latestExpiry = 100_000_000_000n;

/**
 * go-livepeer's auth webhook: asked with the caller's headers and the books as they would become, before anything
 * is signed. No answer, or one that is not understood, is `AUTH_WEBHOOK_FAILED`. Throws `CONFIG_INVALID` for a header that
 * can't be sent.
 */
export function createWebhookAuthorizer(options: WebhookOptions): PaymentAuthorizer {
  return async (caller, projected, signal) => {
    let answer: Uint8Array;
    try {
      answer = await traceStep('webhook', {}, (step) =>
        ask(options, caller, projected, signal, step?.traceparent),
      );
    } catch (cause) {
      if (cause instanceof AuthError) throw cause;
      throw new AuthError('AUTH_WEBHOOK_FAILED', 'the auth webhook could not be asked', {
        details: describeFetchFailure(cause),
        cause,
      });
    }
    return readAnswer(answer);
  };
}

async function ask(
  { url, headers, timeoutMs, encodeState }: WebhookOptions,
  caller: Caller,
  projected: SessionState,
  signal: AbortSignal,
  ownTraceparent: string | undefined,
): Promise<Uint8Array> {
  const { traceparent, clientRequestId } = caller.trace ?? noTraceContext;
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...withValue('traceparent', ownTraceparent ?? traceparent),
      ...withValue('X-Request-Id', clientRequestId),
      ...revealHeaders(headers),
    },
    body: `{"headers":${encodeHeaders(caller.headers)},"state":${encodeState(projected)}}`,
    // the webhook's secret and the caller's credentials are for this address only
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    if (response.status >= 300 && response.status <= 399) {
      throw new AuthError(
        'AUTH_WEBHOOK_ANSWER_INVALID',
        'the auth webhook answered with a redirect',
        {
          details: `HTTP status ${response.status}: set auth.webhook.url to where it leads`,
        },
      );
    }
    throw new AuthError('AUTH_WEBHOOK_FAILED', 'the auth webhook failed', {
      details: `it answered with HTTP status ${response.status}, not 200`,
    });
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxAnswerBytes) {
      throw new AuthError('AUTH_WEBHOOK_FAILED', "the auth webhook's answer is malformed", {
        details: `it is over ${maxAnswerBytes} bytes`,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const withValue = (name: string, value: string | undefined): Record<string, string> =>
  value === undefined ? {} : { [name]: value };

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
  // only newer webhooks know this field; an older one may use the name for anything
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
  if (answer.expiry > latestExpiry) {
    throw new AuthError(
      'AUTH_WEBHOOK_ANSWER_INVALID',
      "the auth webhook's expiry is no time in Unix seconds: it lies after the year 5000, as milliseconds do",
    );
  }
  if (status === 200n) {
    if (authorization.authId === '' || isPrincipalName(authorization.authId)) return authorization;
    throw new AuthError(
      'AUTH_WEBHOOK_ANSWER_INVALID',
      `the auth webhook's auth_id is not ${principalNameForm}`,
    );
  }
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
