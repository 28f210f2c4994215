import type { RequestHandler, Router } from 'express';
import type { CallerIdentifier } from '../../auth/caller.ts';
import { ServerError } from '../../errors.ts';
import type { ByocCall, SignedByocJob } from '../../payments/sign-byoc-job.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { readBody } from '../read-body.ts';
import { refuseMethod } from '../refuse-method.ts';
import {
  bodyOf,
  callerOf,
  deadlineOf,
  describeRequest,
  identifyCaller,
  requestIdOf,
  startDeadline,
} from '../request-context.ts';
import { json, send } from '../send.ts';

export type SignByocJobRoute = {
  /** undefined where there is no such route */
  readonly signByocJob: ((call: ByocCall) => Promise<SignedByocJob>) | undefined;
  readonly identifyCaller: CallerIdentifier;
  readonly logger: Logger;
  /** All work on a request must be done by then. */
  readonly requestDeadlineMs: number;
  readonly metrics: Pick<Metrics, 'byocJobSigned' | 'rulesObserved'>;
};

/** A job carries the request to the orchestrator, which may be a picture. */
const maxBodyBytes = 1_048_576;

/** How many jobs may be in work; their bodies together take at most this many times {@link maxBodyBytes}. */
const maxInWork = 64;

/** `POST /sign-byoc-job`: the sender's signature of a job for an orchestrator's own capability. */
export function mountSignByocJob(router: Router, options: SignByocJobRoute): void {
  const { signByocJob, logger, metrics } = options;
  if (!signByocJob) return;
  router
    .route('/sign-byoc-job')
    .post(startDeadline(options.requestDeadlineMs))
    .post(identifyCaller(options.identifyCaller, 'required'))
    .post(limitInWork(), readBody(maxBodyBytes))
    .post(async (request, response) => {
      const startedAt = performance.now();
      const { sender, signature, job, allowed } = await signByocJob({
        body: bodyOf(request),
        caller: callerOf(response),
        requestId: requestIdOf(response),
        signal: deadlineOf(response),
      });
      const body = `${JSON.stringify({ sender, signature })}\n`;
      send(response, { status: 200, headers: json, body });
      metrics.byocJobSigned(sender);
      metrics.rulesObserved(allowed.observed);
      const { id: principal, tenant } = allowed.principal;
      logger.info(
        {
          ...describeRequest(response),
          sender,
          principal,
          tenant,
          rules: allowed.rules,
          observed: allowed.observed,
          job: job.id.slice(0, longestLogged).toWellFormed(),
          capability: job.capability.slice(0, longestLogged).toWellFormed(),
          timeout_seconds: job.timeoutSeconds,
          duration_ms: performance.now() - startedAt,
        },
        'BYOC job signed',
      );
    })
    .all(refuseMethod('POST'));
}

/** the most characters of a caller's text that are logged */
const longestLogged = 256;

function limitInWork(): RequestHandler {
  let inWork = 0;
  return (_request, response, next) => {
    if (inWork >= maxInWork) {
      throw new ServerError('SERVER_OVERLOADED', `${maxInWork} BYOC jobs are in work`);
    }
    inWork += 1;
    response.once('close', () => (inWork -= 1));
    next();
  };
}
