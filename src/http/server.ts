import express, { type ErrorRequestHandler, type Request, type Response } from 'express';
import { isSignerError } from '../errors.ts';
import { framesOf, nameOf } from '../foreign-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { cleanPath } from './clean-path.ts';
import { allowOrigins } from './cors.ts';
import { answerError } from './error-answer.ts';
import { type OverloadGuardOptions, refuseOverload } from './overload-guard.ts';
import {
  describePrincipal,
  describeRequest,
  identifyRequest,
  traceRequest,
} from './request-context.ts';
import {
  type DiscoverOrchestratorsRoute,
  mountDiscoverOrchestrators,
} from './routes/discover-orchestrators.ts';
import {
  type GenerateLivePaymentRoute,
  mountGenerateLivePayment,
} from './routes/generate-live-payment.ts';
import { type HealthRoute, mountHealth } from './routes/health.ts';
import {
  type SignOrchestratorInfoRoute,
  mountSignOrchestratorInfo,
} from './routes/sign-orchestrator-info.ts';
import { type SignByocJobRoute, mountSignByocJob } from './routes/sign-byoc-job.ts';
import { plainText, send } from './send.ts';

export type HttpServerOptions = SignOrchestratorInfoRoute &
  GenerateLivePaymentRoute &
  DiscoverOrchestratorsRoute &
  SignByocJobRoute &
  HealthRoute &
  OverloadGuardOptions & {
    /** whose pages may read answers, such as `https://app.example`; none for no CORS */
    readonly corsOrigins: readonly string[];
    readonly metrics: Pick<Metrics, 'ruleDenied' | 'requestRefused' | 'watchRequests'>;
  };

/** The remote-signer protocol over HTTP. Each route has a file of its own in `routes/`; here they are mounted. */
export function createHttpApp(options: HttpServerOptions): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');

  app.use(identifyRequest);
  app.use(cleanPath);
  app.use(allowOrigins(options.corsOrigins));
  mountHealth(app, options);
  app.use(traceRequest);
  app.use(refuseOverload({ ...options, watchInWork: options.metrics.watchRequests }));
  mountSignOrchestratorInfo(app, options);
  mountGenerateLivePayment(app, options);
  mountDiscoverOrchestrators(app, options);
  mountSignByocJob(app, options);
  app.use((_request, response) =>
    send(response, { status: 404, headers: plainText, body: '404 page not found\n' }),
  );

  const handleError: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const answer = answerError(error);
    const code = isSignerError(error) ? error.code : 'INTERNAL';
    response.locals['code'] = code;
    send(response, answer);
    options.metrics.requestRefused(code, answer.status);
    if (isSignerError(error) && error.data.ruleId !== undefined) {
      options.metrics.ruleDenied(error.data.ruleId);
    }
    logRefusal(options.logger, request, response, error, answer.status);
  };
  app.use(handleError);
  return app;
}

function logRefusal(
  logger: Logger,
  request: Request,
  response: Response,
  error: unknown,
  status: number,
): void {
  const fields = {
    ...describeRequest(response),
    path: request.path,
    ...describePrincipal(response, error),
    status,
    code: isSignerError(error) ? error.code : 'INTERNAL',
    rule: isSignerError(error) ? error.data.ruleId : undefined,
    data: isSignerError(error) ? error.data : undefined,
    reason: isSignerError(error) ? error.message : nameOf(error),
    details: isSignerError(error) ? error.details : undefined,
    cause: describeCause(error),
  };
  // how clients pay in time, many times a minute
  if (fields.code === 'NO_TICKETS_DUE') logger.debug(fields, 'no tickets due');
  else if (fields.code === 'REQUEST_ABORTED') logger.info(fields, 'client left before its answer');
  else if (status < 500 || fields.code === 'SIGNING_PAUSED') logger.info(fields, 'request refused');
  else if (isSignerError(error)) logger.error(fields, 'request failed');
  else logger.error({ ...fields, stack: framesOf(error) }, 'defect');
}

const namesThatSayNothing = ['Error', 'unknown'];

/** Own words as they are; of others' the code or the kind only, since a message may quote what it is about. */
function describeCause(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.cause === undefined) return undefined;
  const { cause } = error;
  if (isSignerError(cause)) return cause.message;
  const name = nameOf(cause);
  return namesThatSayNothing.includes(name) ? undefined : name;
}
