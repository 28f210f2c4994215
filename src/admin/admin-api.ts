import type { ErrorCode } from '../errors.ts';
import { fromZod } from '../http/api/payment-api.ts';
import {
  type ApiResponse,
  type ApiResponses,
  codeHeader,
  jsonError,
  ref,
  sharedHeaders,
  textHeader,
} from '../http/api/responses.ts';
import { errorAnswerSchema } from '../http/error-answer.ts';
import { senderInfoSchema } from './routes/node-probes.ts';
import { readinessSchema } from './routes/readyz.ts';
import { statusSchema } from './routes/status.ts';

/** The version of the description, which goes up with what it describes. */
const version = '1.0.0';

type Content = NonNullable<ApiResponse['content']>;
type JsonSchema = Content[string]['schema'];

const everyHeader = {
  'X-Request-Id': ref('headers', 'RequestId'),
  'Cache-Control': ref('headers', 'CacheControl'),
  'X-Content-Type-Options': ref('headers', 'ContentTypeOptions'),
};

const text = (media = 'text/plain'): Content => ({ [media]: { schema: { type: 'string' } } });
const json = (schema: JsonSchema): Content => ({ 'application/json': { schema } });

function answer(description: string, content?: Content, headers: object = {}) {
  return {
    description,
    headers: { ...everyHeader, ...headers },
    ...(content && { content }),
  };
}

/** An answer that says when to ask again; `isSure` is false where another answer of the same status does not. */
function later(description: string, content: Content, isSure: boolean) {
  return answer(description, content, {
    'Retry-After': isSure
      ? ref('headers', 'RetryAfter')
      : { ...sharedHeaders.RetryAfter, required: false },
  });
}

function wrongMethod(allowed: string): ApiResponses {
  const description = `The path takes ${allowed} only.`;
  const headers = { Allow: textHeader('the methods of the path', true) };
  return { 405: answer(description, text(), headers) };
}

const tooBusy = 'Later: too many requests are in work.';

/** The refusals of all paths but `/healthz`. */
const refusals: ApiResponses = {
  401: answer('The token of `admin.token` is needed.', text(), {
    'WWW-Authenticate': textHeader('`Bearer` and `Basic`', true),
  }),
  403: answer('A client certificate of `admin.tls.clientCa` is needed.', text()),
  421: answer(
    'Where no credential is asked for, only `127.0.0.1`, `[::1]` and `localhost` are served.',
    text(),
  ),
  503: later(tooBusy, jsonError, true),
};

/** The answer of paths that ask the signer itself, where it has a defect. */
const defect: ApiResponses = { 500: answer('A defect: the reason is in the log.', jsonError) };

/** A path that can be read. `more` are answers in addition to 200 and the refusals, or in place of them. */
function read(
  operationId: string,
  tag: string,
  summary: string,
  ok: ReturnType<typeof answer>,
  more: ApiResponses = {},
): { get: object } {
  const responses = { 200: ok, ...refusals, ...wrongMethod('GET and HEAD'), ...more };
  return { get: { operationId, tags: [tag], summary, security, responses } };
}

const page = (operationId: string, summary: string, media: string) =>
  read(operationId, 'page', summary, answer('It.', text(media)));

const document = (operationId: string, summary: string) =>
  read(
    operationId,
    'descriptions',
    summary,
    answer('The document.', json({ type: 'object', additionalProperties: true })),
  );

function probe(operationId: string, summary: string, content: Content) {
  const starting = `${tooBusy} Or, as plain text: the signer is starting.`;
  return read(operationId, 'node', summary, answer('Of the active key.', content), {
    ...defect,
    503: later(starting, { ...text(), ...jsonError }, false),
  });
}

/** The codes of a form that can't be read. */
const formCodes = {
  400: ['BODY_MALFORMED'],
  408: ['BODY_LATE'],
  413: ['BODY_TOO_LARGE'],
} as const satisfies Readonly<Record<number, readonly ErrorCode[]>>;

const codeOf = (status: keyof typeof formCodes, isSure: boolean): object => ({
  'Livepeer-Signer-Code': codeHeader(formCodes[status], isSure),
});

function order(operationId: string, summary: string, properties: object): { post: object } {
  return {
    post: {
      operationId,
      tags: ['page'],
      summary,
      description: 'Recorded in the audit log with who asked.',
      security,
      requestBody: {
        required: true,
        description: 'A form, whatever `Content-Type` says; at most 4,096 bytes, within 5 s.',
        content: {
          'application/x-www-form-urlencoded': {
            schema: {
              type: 'object',
              properties: { confirm: { type: 'string', const: 'yes' }, ...properties },
              required: ['confirm'],
            },
          },
        },
      },
      responses: {
        303: answer('Done. The page says so.', text(), {
          Location: textHeader('`/?done=paused` or `/?done=resumed`', true),
        }),
        ...refusals,
        400: answer(
          "`confirm=yes` was not sent; or, in JSON: the form can't be read.",
          { ...text(), ...jsonError },
          codeOf(400, false),
        ),
        403: answer(
          'A client certificate of `admin.tls.clientCa` is needed; or another site sent the form.',
          text(),
        ),
        ...wrongMethod('POST'),
        408: answer('The form did not come in time.', jsonError, codeOf(408, true)),
        413: answer('The form is too large.', jsonError, codeOf(413, true)),
        503: later(
          `${tooBusy} Or, as plain text, code and reason: the order can't be carried out.`,
          { ...text(), ...jsonError },
          false,
        ),
      },
    },
  };
}

/**
 * Where both kinds are configured, both are required; `{}` is one of them, since an operator may require none on a loopback
 * address.
 */
const security = [
  {},
  { bearer: [] },
  { basic: [] },
  { certificate: [] },
  { bearer: [], certificate: [] },
  { basic: [], certificate: [] },
];

const { get: readPage } = read(
  'readPage',
  'page',
  "The operator's page",
  answer('The page.', text('text/html'), {
    'Content-Security-Policy': textHeader('what the page may load', true),
    'Referrer-Policy': textHeader('`same-origin`', true),
    'X-Frame-Options': textHeader('`DENY`', true),
  }),
  defect,
);

/** The admin listener as an OpenAPI 3.1 document: `docs/openapi-admin.json`, and `/openapi-admin.json` of the listener itself. */
export function describeAdminApi(): object {
  return {
    openapi: '3.1.1',
    info: {
      title: 'livepeer-hsm-signer, for operators',
      version,
      summary: 'Health, readiness, metrics, status and the page',
      description:
        'Each GET may be a HEAD, whose answer has no body. Unknown paths are 404, as plain text, to whoever may ask. Requests that are no HTTP, or whose headers are too large or too late, get 400, 431 or 408 without a body.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7937', description: 'the admin listener' }],
    tags: [
      { name: 'probes', description: 'What machines watch.' },
      { name: 'node', description: "What clearinghouses ask of go-livepeer's CLI port." },
      { name: 'page', description: "The operator's page, what it loads, and its switch." },
      { name: 'descriptions', description: 'For programs that make clients.' },
    ],
    paths: {
      '/healthz': {
        get: {
          operationId: 'readHealth',
          tags: ['probes'],
          summary: 'Whether the process runs',
          security: [],
          responses: { 200: answer('It does.'), ...wrongMethod('GET and HEAD') },
        },
      },
      '/readyz': read(
        'readReadiness',
        'probes',
        'Whether payments can be made now, part by part',
        answer('They can.', json(ref('schemas', 'Readiness'))),
        {
          ...defect,
          503: later(
            `They can't. Or: ${tooBusy.toLowerCase()}`,
            json({ oneOf: [ref('schemas', 'Readiness'), ref('schemas', 'Error')] }),
            false,
          ),
        },
      ),
      '/metrics': read(
        'readMetrics',
        'probes',
        'For Prometheus, or as OpenMetrics for whoever accepts that',
        answer(
          'All metrics.',
          { ...text(), ...text('application/openmetrics-text') },
          { Vary: textHeader('`Accept`', false) },
        ),
        defect,
      ),
      '/status': read(
        'readStatus',
        'node',
        "All that the signer says of itself, and what go-livepeer's node says",
        answer('The status.', json(ref('schemas', 'Status'))),
        defect,
      ),
      '/ethAddr': probe('readAddress', "The active key's address", {
        'text/plain': { schema: { type: 'string', pattern: '^0x[0-9a-fA-F]{40}$' } },
      }),
      '/EthChainID': probe('readChainId', "The chain's number, decimal", {
        'text/plain': { schema: { type: 'string', pattern: '^[0-9]+$' } },
      }),
      '/senderInfo': probe('readSenderInfo', 'Deposit and reserve', {
        ...json(ref('schemas', 'SenderInfo')),
      }),
      '/': {
        get: {
          ...readPage,
          parameters: [
            {
              name: 'done',
              in: 'query',
              description: 'what the operator did last, of which the page tells',
              schema: { type: 'string', enum: ['paused', 'resumed'] },
            },
          ],
        },
      },
      '/page.css': page('readPageStyle', "The page's style", 'text/css'),
      '/page.js': page('readPageScript', "The page's program", 'text/javascript'),
      '/uplot.css': page('readChartStyle', "The curves' style", 'text/css'),
      '/uplot.js': page('readChartScript', "The curves' program", 'text/javascript'),
      '/events': read(
        'followFigures',
        'page',
        'The figures of the page as they change',
        answer(
          'Server-sent events without an end, every 5 s: `event: figures`, and `data:` an object of `figures` (HTML), `time` and `curves`.',
          text('text/event-stream'),
        ),
        {
          503: later(
            'Later: too many pages are open, or requests in work.',
            { ...text(), ...jsonError },
            true,
          ),
        },
      ),
      '/pause': order('pause', 'Stops all signing', {
        reason: { type: 'string', description: 'for the log, the page and the audit log' },
      }),
      '/resume': order('resume', 'Lets signing go on', {}),
      '/openapi.json': document('readApi', 'The payment listener, as OpenAPI 3.1'),
      '/openapi-admin.json': document('readAdminApi', 'This document'),
      '/asyncapi.json': document('readEventsApi', 'The events of payments, as AsyncAPI 3.0'),
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: '`admin.token`' },
        basic: {
          type: 'http',
          scheme: 'basic',
          description: '`admin.token` as the password, with any user name',
        },
        certificate: {
          type: 'mutualTLS',
          description: "a client's certificate of `admin.tls.clientCa`, or the listener's own",
        },
      },
      headers: {
        ...sharedHeaders,
        CacheControl: textHeader('`no-store`', true),
        ContentTypeOptions: textHeader('`nosniff`', true),
      },
      schemas: {
        Readiness: fromZod(readinessSchema),
        Status: fromZod(statusSchema),
        SenderInfo: senderInfoSchema,
        Error: fromZod(errorAnswerSchema),
      },
    },
  };
}
