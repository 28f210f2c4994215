import { z } from 'zod';
import { discoveryAnswerSchema } from '../../discovery/answer-schema.ts';
import { type ErrorCode, errorFamilies } from '../../errors.ts';
import { paymentAnswerSchema } from '../../payments/payment-answer.ts';
import { senderHeader } from '../../payments/senders.ts';
import { byocSignatureSchema } from '../../payments/sign-byoc-job.ts';
import { orchestratorInfoSignatureSchema } from '../../payments/sign-orchestrator-info.ts';
import { byocJobRequestSchema } from '../../wire/byoc-job-request.ts';
import type { JsonSchema } from '../../wire/go-struct.ts';
import { paymentRequestSchema } from '../../wire/payment-request.ts';
import { clientRequestIdPattern } from '../../trace-context.ts';
import { errorAnswerSchema } from '../error-answer.ts';
import { idempotencyKeyPattern } from '../routes/generate-live-payment.ts';
import {
  emptyAnswer,
  jsonAnswer,
  notFound,
  preflightAnswers,
  ref,
  refusals,
  sharedHeaders,
} from './responses.ts';

/** The parts of an OpenAPI 3.1 document that describe one listener. */
export type ApiPart = {
  readonly paths: Readonly<Record<string, object>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, object>>>>;
};

/** All ways to authenticate; `{}` is one of them, since an operator may require none. */
const security = [{}, { bearer: [] }, { apiKey: [] }, { certificate: [] }];

const credentialCodes: readonly ErrorCode[] = [
  'CREDENTIAL_MISSING',
  'CREDENTIAL_INVALID',
  'CREDENTIAL_EXPIRED',
  'CREDENTIAL_NOT_PERMITTED',
  'AUTH_UNAVAILABLE',
];

/** Codes that belong to the families of a payment's refusals, but that only commands of the command line give. */
const codesOfCommands: readonly ErrorCode[] = [
  'TRANSACTION_NOT_ALLOWED',
  'TRANSACTION_FEE_ABOVE_MAXIMUM',
];

/** The codes that BYOC jobs are refused with, besides those of the caller's credential. */
const jobCodes: readonly ErrorCode[] = [
  'BODY_MALFORMED',
  'BODY_TOO_LARGE',
  'BODY_LATE',
  'BYOC_JOB_INVALID',
  'SENDER_UNKNOWN',
  'RULE_DENIED',
  'NO_RULE_ALLOWS',
  'RULE_LIMIT_EXCEEDED',
  'WINDOW_EXHAUSTED',
  'SIGNING_PAUSED',
];

const paymentCodes = (Object.keys(errorFamilies) as ErrorCode[]).filter(
  (code) =>
    ['request', 'policy'].includes(errorFamilies[code]) &&
    !codesOfCommands.includes(code) &&
    code !== 'BYOC_JOB_INVALID',
);

/** The routes of the payment listener. */
export function describePaymentApi(): ApiPart {
  return {
    paths: {
      '/sign-orchestrator-info': {
        post: {
          ...operation('signOrchestratorInfo', 'Who pays, and its signature for orchestrators'),
          description:
            'The same for as long as the key is: fetch it once. A body is not read. Asks for a credential with `auth.protectOrchestratorInfo`.',
          parameters: [payerParameter, ...traceParameters],
          responses: {
            200: jsonAnswer('The sender.', 'OrchestratorInfoSignature'),
            ...refusals(['SENDER_UNKNOWN', 'SIGNING_PAUSED', ...credentialCodes]),
          },
        },
        options: preflight('preflightSignOrchestratorInfo'),
      },
      '/generate-live-payment': {
        post: {
          ...operation('generateLivePayment', 'One payment'),
          description:
            "Signs what is due for an orchestrator, and gives the session's state back, which the next payment must carry. " +
            'Keys of the body may be written in any case. A repeated request gets the same answer.',
          parameters: [
            payerParameter,
            {
              name: 'Idempotency-Key',
              in: 'header',
              description: 'tells this first payment of a session from others',
              schema: { type: 'string', pattern: idempotencyKeyPattern.source },
            },
            ...traceParameters,
          ],
          requestBody: {
            required: true,
            description: 'JSON, whatever `Content-Type` says.',
            content: { 'application/json': { schema: ref('schemas', 'PaymentRequest') } },
          },
          responses: {
            200: jsonAnswer('The payment.', 'PaymentAnswer'),
            ...refusals([...paymentCodes, ...credentialCodes, 'AUTH_WEBHOOK_ANSWER_INVALID'], {
              hasWebhook: true,
            }),
          },
        },
        options: preflight('preflightGenerateLivePayment'),
      },
      '/discover-orchestrators': {
        get: {
          ...operation('discoverOrchestrators', 'Orchestrators, and what they offer'),
          description:
            'Filters of one name are alternatives; those of different names must all hold. Asks for a credential with `auth.protectDiscovery`.',
          parameters: [
            filterParameter('caps', 'a capability, `pipeline/model`'),
            filterParameter('app', "a runner's app"),
            filterParameter('gpu', "the name of a runner's GPU"),
            ...traceParameters,
          ],
          responses: {
            200: jsonAnswer('Who can be paid for what.', 'DiscoveryAnswer'),
            404: notFound('Discovery is not configured.'),
            ...refusals([...credentialCodes, 'DISCOVERY_RATE_EXCEEDED']),
          },
        },
        options: preflight('preflightDiscoverOrchestrators'),
      },
      '/healthz': {
        get: {
          ...operation('readHealth', 'Whether the process runs'),
          security: [],
          responses: { 200: emptyAnswer('It does.') },
        },
      },
      '/readyz': {
        get: {
          ...operation('readReadiness', 'Whether a payment could be made now'),
          description: 'Reasons are for the admin listener.',
          security: [],
          responses: {
            200: jsonAnswer('It could.', 'Readiness'),
            503: jsonAnswer('It could not.', 'Readiness'),
          },
        },
      },
      '/sign-byoc-job': {
        post: {
          ...operation('signByocJob', "A job for a capability of an orchestrator's own"),
          description:
            'Signs what an orchestrator takes such a job by. There only with `byoc.enabled`.',
          parameters: [payerParameter, ...traceParameters],
          requestBody: {
            required: true,
            description: 'JSON, whatever `Content-Type` says; at most 1 MiB.',
            content: { 'application/json': { schema: ref('schemas', 'ByocJobRequest') } },
          },
          responses: {
            200: jsonAnswer('The signature.', 'ByocSignature'),
            404: notFound('`byoc.enabled` is not set.'),
            ...refusals([...jobCodes, ...credentialCodes]),
          },
        },
        options: preflight('preflightSignByocJob'),
      },
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'an API key, or a token of an issuer that the signer trusts',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
        certificate: { type: 'mutualTLS', description: "a client's certificate" },
      },
      headers: {
        ...sharedHeaders,
        Vary: { description: '`Origin`, with `server.cors.origins`', schema: { type: 'string' } },
        AllowOrigin: {
          description: "the page's origin, if it is one of `server.cors.origins`",
          schema: { type: 'string' },
        },
        ExposeHeaders: {
          description: 'headers of the answer that the page may read',
          schema: { type: 'string' },
        },
      },
      schemas: {
        OrchestratorInfoSignature: fromZod(orchestratorInfoSignatureSchema),
        PaymentRequest: paymentRequestSchema,
        PaymentAnswer: fromZod(paymentAnswerSchema),
        DiscoveryAnswer: fromZod(discoveryAnswerSchema),
        ByocJobRequest: fromZod(byocJobRequestSchema, 'input'),
        ByocSignature: fromZod(byocSignatureSchema),
        Readiness: {
          type: 'object',
          properties: { ready: { type: 'boolean' } },
          required: ['ready'],
          additionalProperties: false,
        },
        Error: fromZod(errorAnswerSchema),
      },
    },
  };
}

const payerParameter = {
  name: senderHeader,
  in: 'header',
  description: 'which of the keys is to pay; the active one where it is left out',
  schema: { type: 'string', pattern: '^0x[0-9a-fA-F]{40}$' },
};

/** Any text is accepted; a malformed header counts as not sent. */
const traceParameters = [
  {
    name: 'traceparent',
    in: 'header',
    description:
      "W3C Trace Context: the trace that the request belongs to, for the signer's log, records and traces",
    schema: { type: 'string' },
    example: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  },
  {
    name: 'X-Request-Id',
    in: 'header',
    description: `the caller's own id of the request, for the signer's log and records; taken where it matches \`${clientRequestIdPattern.source}\``,
    schema: { type: 'string' },
  },
];

function filterParameter(name: string, description: string): object {
  return {
    name,
    in: 'query',
    description: `${description}; may be repeated`,
    schema: { type: 'array', items: { type: 'string' } },
  };
}

function operation(operationId: string, summary: string): object {
  return { operationId, summary, tags: ['payments'], security };
}

function preflight(operationId: string): object {
  return {
    operationId,
    summary: 'Whether a page of `server.cors.origins` may ask',
    tags: ['pages'],
    security: [],
    responses: preflightAnswers,
  };
}

/** The JSON Schema of a Zod schema, without the dialect, which OpenAPI 3.1 names for the whole document. */
export function fromZod(schema: z.ZodType, io: 'input' | 'output' = 'output'): JsonSchema {
  const described = z.toJSONSchema(schema, { io });
  delete described.$schema;
  return described;
}
