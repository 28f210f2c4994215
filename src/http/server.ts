import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { Caller } from '../auth/authorization.ts';
import type { CallerIdentifier } from '../auth/caller.ts';
import { anonymous } from '../auth/principal.ts';
import { RequestError, isSignerError } from '../errors.ts';
import type { Logger } from '../ops/logger.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { LivePaymentResult, PaymentCall } from '../payments/generate-live-payment.ts';
import type { Readiness } from '../payments/readiness.ts';
import { RefusalError } from '../payments/refusal-error.ts';
import type { OrchestratorInfoSignature } from '../payments/sign-orchestrator-info.ts';
import { randomId } from '../random-id.ts';
import { type Answer, answerError } from './error-answer.ts';
import { readBody } from './read-body.ts';
import { certificateOf } from './tls.ts';

export type HttpServerOptions = {
  readonly orchestratorInfo: (caller: Caller) => OrchestratorInfoSignature;
  readonly generateLivePayment: (call: PaymentCall) => Promise<LivePaymentResult>;
  readonly identifyCaller: CallerIdentifier;
  /** whether /sign-orchestrator-info asks for a credential too */
  readonly protectOrchestratorInfo: boolean;
  readonly logger: Logger;
  readonly bodyLimitBytes: number;
  /** All work on a request must be done by then. */
  readonly requestDeadlineMs: number;
  readonly checkReadiness: () => Promise<Readiness>;
  readonly metrics: Pick<
    Metrics,
    | 'paymentSigned'
    | 'answerRepeated'
    | 'stateForked'
    | 'rulesObserved'
    | 'ruleDenied'
    | 'requestRefused'
  >;
};

const json = { 'Content-Type': 'application/json' };
const plainText = {
  'Content-Type': 'text/plain; charset=utf-8',
  'X-Content-Type-Options': 'nosniff',
};

/** The remote-signer protocol over HTTP: routes, bodies, headers and statuses, and nothing else. */
export function createHttpApp(options: HttpServerOptions): express.Express {
  const { logger } = options;
  const identifyCaller =
    (demand: 'required' | 'optional'): RequestHandler =>
    async ({ rawHeaders, socket }, response, next) => {
      const startedAt = performance.now();
      const remoteAddress = socket.remoteAddress ?? '';
      const transport = { rawHeaders, remoteAddress, certificate: certificateOf(socket) };
      response.locals['caller'] = await options.identifyCaller(transport, demand);
      response.locals['identifiedInMs'] = performance.now() - startedAt;
      next();
    };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');

  app.use((_request, response, next) => {
    const requestId = randomId();
    response.locals['requestId'] = requestId;
    response.setHeader('X-Request-Id', requestId);
    next();
  });

  app.all('/healthz', (_request, response) =>
    send(response, { status: 200, headers: {}, body: '' }),
  );

  app.all('/readyz', async (_request, response) => {
    const { isReady, report } = await options.checkReadiness();
    const body = `${JSON.stringify(report)}\n`;
    send(response, { status: isReady ? 200 : 503, headers: json, body });
  });

  app
    .route('/sign-orchestrator-info')
    .post(identifyCaller(options.protectOrchestratorInfo ? 'required' : 'optional'))
    .post((_request, response) => {
      const info = options.orchestratorInfo(callerOf(response));
      send(response, { status: 200, headers: json, body: `${JSON.stringify(info)}\n` });
    })
    .all(refuseMethod);

  app
    .route('/generate-live-payment')
    .post(identifyCaller('required'), readBody(options.bodyLimitBytes))
    .post(async (request, response) => {
      const startedAt = performance.now();
      const requestId = requestIdOf(response);
      const { answer, payment } = await options.generateLivePayment({
        body: bodyOf(request),
        caller: callerOf(response),
        requestId,
        idempotencyKey: idempotencyKeyOf(request),
        signal: deadlineOf(response, options.requestDeadlineMs - identifiedInMs(response)),
      });
      send(response, { status: 200, headers: json, body: `${answer}\n` });
      if (!payment) {
        options.metrics.answerRepeated();
        logger.info({ request_id: requestId }, 'answer repeated');
        return;
      }
      const { record, sender, allowed, isFork } = payment;
      const durationMs = performance.now() - startedAt;
      options.metrics.paymentSigned(sender, record.pipeline, record.num_tickets, durationMs / 1000);
      options.metrics.rulesObserved(allowed.observed);
      if (isFork) options.metrics.stateForked();
      const { id: principal, tenant } = allowed.principal;
      logger.info(
        {
          request_id: requestId,
          sender,
          principal,
          tenant,
          rules: allowed.rules,
          observed: allowed.observed,
          fork: isFork,
          duration_ms: durationMs,
          payment: record,
        },
        'payment signed',
      );
    })
    .all(refuseMethod);

  app.use((_request, response) =>
    send(response, { status: 404, headers: plainText, body: '404 page not found\n' }),
  );

  const handleError: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const answer = answerError(error);
    send(response, answer);
    options.metrics.requestRefused(isSignerError(error) ? error.code : 'INTERNAL');
    const ruleId = ruleOf(error);
    if (ruleId !== undefined) options.metrics.ruleDenied(ruleId);
    logRefusal(logger, request, response, error, answer.status);
  };
  app.use(handleError);
  return app;
}

function send(response: Response, { status, headers, body }: Answer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const length = Buffer.byteLength(body);
  response.setHeader('Content-Length', length);
  // ASCII goes out with the headers in one piece
  if (length === body.length) response.end(body, 'latin1');
  else response.end(body);
}

function refuseMethod(_request: Request, response: Response): void {
  const headers = { ...plainText, Allow: 'POST' };
  send(response, { status: 405, headers, body: 'Method Not Allowed\n' });
}

/** The rule of the policy file that refused; undefined where it was none. */
function ruleOf(error: unknown): string | undefined {
  return error instanceof RefusalError ? error.ruleId : undefined;
}

const idempotencyKeyPattern = /^[\x21-\x7e]{1,255}$/;

/** Throws `IDEMPOTENCY_KEY_INVALID`. */
function idempotencyKeyOf({ headersDistinct }: Request): string | undefined {
  const keys = headersDistinct['idempotency-key'];
  if (!keys) return undefined;
  const [key = ''] = keys;
  if (keys.length === 1 && idempotencyKeyPattern.test(key)) return key;
  throw new RequestError(
    'IDEMPOTENCY_KEY_INVALID',
    'Idempotency-Key must be given once, as 1 to 255 visible ASCII characters',
  );
}

function bodyOf(request: Request): Uint8Array {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body : new Uint8Array();
}

function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

/** What `identifyCaller` has established. */
function callerOf(response: Response): Caller {
  return response.locals['caller'] as Caller;
}

function identifiedInMs(response: Response): number {
  return response.locals['identifiedInMs'] as number;
}

/** Aborts at the deadline, and when the client goes away before it has its answer. */
function deadlineOf(response: Response, deadlineMs: number): AbortSignal {
  const ended = new AbortController();
  const timer = setTimeout(() => {
    ended.abort(new DOMException("the request's deadline has passed", 'TimeoutError'));
  }, deadlineMs);
  response.once('close', () => {
    clearTimeout(timer);
    if (!response.writableEnded) ended.abort(new Error('the client has gone away'));
  });
  return ended.signal;
}

/** For log lines; nothing where nobody was authenticated. */
function describePrincipal(
  response: Response,
  error: unknown,
): { principal?: string; tenant?: string } {
  const decided = error instanceof RefusalError ? error.principal : undefined;
  const caller = response.locals['caller'] as Caller | undefined;
  const { id, tenant } = decided ?? caller?.principal ?? anonymous;
  return { ...(id !== '' && { principal: id }), ...(tenant !== '' && { tenant }) };
}

function logRefusal(
  logger: Logger,
  request: Request,
  response: Response,
  error: unknown,
  status: number,
): void {
  const fields = {
    request_id: requestIdOf(response),
    path: request.path,
    ...describePrincipal(response, error),
    status,
    code: isSignerError(error) ? error.code : 'INTERNAL',
    rule: ruleOf(error),
    reason: error instanceof Error ? error.message : 'unknown',
    details: isSignerError(error) ? error.details : undefined,
    cause: error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined,
  };
  if (status < 500) logger.info(fields, 'request refused');
  else if (isSignerError(error)) logger.error(fields, 'request failed');
  else
    logger.error({ ...fields, stack: error instanceof Error ? error.stack : undefined }, 'defect');
}
