import { type JsonSchema } from '../../wire/go-struct.ts';
import type { ErrorCode } from '../../errors.ts';
import { isCodeShown, isRetriedLater } from '../error-answer.ts';
import { statusOf } from '../status.ts';

/** A Response Object of OpenAPI 3.1. */
export type ApiResponse = {
  readonly description: string;
  readonly headers: Readonly<Record<string, object>>;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
};

export type ApiResponses = Readonly<Record<string, ApiResponse>>;

/** A reference to a component of the document. */
export const ref = (kind: string, name: string): JsonSchema => ({
  $ref: `#/components/${kind}/${name}`,
});

/** The headers of every answer of the payment listener; the last three only for pages of `server.cors.origins`. */
const commonHeaders = {
  'X-Request-Id': ref('headers', 'RequestId'),
  Vary: ref('headers', 'Vary'),
  'Access-Control-Allow-Origin': ref('headers', 'AllowOrigin'),
};

const readableHeaders = {
  ...commonHeaders,
  'Access-Control-Expose-Headers': ref('headers', 'ExposeHeaders'),
};

/** The headers that both listeners send. */
export const sharedHeaders = {
  RequestId: {
    description: "names this request in the signer's log and records",
    required: true,
    schema: { type: 'string', pattern: '^[0-9a-f]{32}$' },
  },
  RetryAfter: {
    description: 'seconds to wait before the next try',
    required: true,
    schema: { type: 'integer', minimum: 1 },
  },
};

/** An answer without a body. */
export function emptyAnswer(description: string): ApiResponse {
  return { description, headers: readableHeaders };
}

/** An answer whose body is JSON. */
export function jsonAnswer(description: string, schema: string): ApiResponse {
  return {
    description,
    headers: readableHeaders,
    content: { 'application/json': { schema: ref('schemas', schema) } },
  };
}

/** The answer to a CORS preflight. */
const preflightAnswer: ApiResponse = {
  description: 'The page may ask.',
  headers: {
    ...commonHeaders,
    'Access-Control-Allow-Methods': textHeader('methods that pages may use', true),
    'Access-Control-Allow-Headers': textHeader('headers that pages may send', true),
    'Access-Control-Max-Age': {
      description: 'seconds that this answer may be remembered',
      required: true,
      schema: { type: 'integer' },
    },
  },
};

/** A header that holds text. */
export function textHeader(description: string, required: boolean): object {
  return { description, required, schema: { type: 'string' } };
}

/** 404 where there is no such route, as plain text. */
export function notFound(description: string): ApiResponse {
  return {
    description,
    headers: {
      ...readableHeaders,
      'X-Content-Type-Options': textHeader('`nosniff`', true),
    },
    content: { 'text/plain': { schema: { type: 'string' } } },
  };
}

/** 405 for every other method of a path. */
function methodNotAllowed(hasWebhook: boolean): ApiResponse {
  return {
    description: 'The path takes another method, which `Allow` names.',
    headers: {
      ...readableHeaders,
      Allow: textHeader('the methods of the path', !hasWebhook),
      'X-Content-Type-Options': textHeader('`nosniff`', !hasWebhook),
      ...(hasWebhook && { 'Livepeer-Signer-Code': codeHeader([webhookCode], false) }),
    },
    content: {
      'text/plain': { schema: { type: 'string' } },
      ...(hasWebhook && jsonError),
    },
  };
}

/** The content of JSON refusals. */
export const jsonError = { 'application/json': { schema: ref('schemas', 'Error') } };

/** The header that names the reason by one of these codes. */
export function codeHeader(codes: readonly ErrorCode[], required: boolean): object {
  return {
    description: 'the reason, for programs',
    required,
    schema: { type: 'string', enum: [...codes].sort() },
  };
}

/** The code of the auth webhook's own refusals, which have its status: any from 400 to 599. */
const webhookCode = 'AUTH_WEBHOOK_REJECTED';

const titles: Readonly<Record<number, string>> = {
  400: 'The request is refused as it is.',
  401: 'A credential is needed, or is not valid.',
  403: 'The caller, or what it asks for, is not allowed.',
  408: 'The body did not come in time.',
  413: 'The body is too large.',
  422: 'The Idempotency-Key was used for another request.',
  429: 'Later: a window or a rate is used up.',
  480: "The orchestrator's terms have ended: fetch them again.",
  481: 'The price is above a ceiling.',
  482: 'Nothing is due: keep the state, and pay in the next cycle.',
  500: 'The reason is in the log, under the request id.',
  502: "The auth webhook's answer can't be used.",
  503: 'Later: the reason is in the log, under the request id.',
};

/**
 * The refusals by status: those with these codes, and those that can come before any route is reached. Where the auth webhook is
 * asked, it may refuse with any status.
 */
export function refusals(
  codes: readonly ErrorCode[],
  { hasWebhook = false }: { readonly hasWebhook?: boolean } = {},
): ApiResponses {
  const byStatus = new Map<number, ErrorCode[]>();
  const always: readonly ErrorCode[] = ['INTERNAL', 'SERVER_OVERLOADED'];
  for (const code of [...codes, ...always]) {
    const status = statusOf(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const described = [...byStatus].map(([status, own]): [string, ApiResponse] => {
    const all = hasWebhook ? [...own, webhookCode as ErrorCode] : own;
    const title = titles[status];
    if (title === undefined) throw new Error(`no title for status ${status}`);
    return [`${status}`, refusal(status, title, all, !hasWebhook)];
  });
  const others = ['4XX', '5XX'].map((range): [string, ApiResponse] => [
    range,
    {
      description: 'The auth webhook refuses with a status of its own.',
      headers: { ...readableHeaders, 'Livepeer-Signer-Code': codeHeader([webhookCode], true) },
      content: jsonError,
    },
  ]);
  return {
    ...Object.fromEntries(described),
    405: methodNotAllowed(hasWebhook),
    ...(hasWebhook && Object.fromEntries(others)),
  };
}

/** The answers to a CORS preflight: 204, or 405 as for any other method. */
export const preflightAnswers: ApiResponses = {
  204: preflightAnswer,
  405: methodNotAllowed(false),
};

/** A refusal. `isSure` is false where something else may answer with the same status, without the headers that belong to it. */
function refusal(
  status: number,
  description: string,
  codes: readonly ErrorCode[],
  isSure: boolean,
): ApiResponse {
  const shown = codes.filter((code) => isCodeShown(code, status));
  const areAllShown = shown.length === codes.length;
  return {
    description,
    headers: {
      ...readableHeaders,
      ...(shown.length > 0 && { 'Livepeer-Signer-Code': codeHeader(shown, areAllShown) }),
      ...(isRetriedLater(status) && { 'Retry-After': ref('headers', 'RetryAfter') }),
      ...(status === 401 && { 'WWW-Authenticate': textHeader('`Bearer`', isSure) }),
      ...(status === statusOf('TICKET_PARAMS_EXPIRED') && {
        'Livepeer-Orchestrator-Url': textHeader(
          'where the orchestrator says that it is; may be empty',
          isSure,
        ),
      }),
    },
    content: jsonError,
  };
}
