import type { Request, Router } from 'express';
import type { CallerIdentifier } from '../../auth/caller.ts';
import { RequestError, ServerError } from '../../errors.ts';
import { eventLoopTurns } from '../../event-loop-turns.ts';
import type {
  LivePaymentResult,
  MadePayment,
  PaymentCall,
} from '../../payments/generate-live-payment.ts';
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

export type GenerateLivePaymentRoute = {
  readonly generateLivePayment: (call: PaymentCall) => Promise<LivePaymentResult>;
  readonly identifyCaller: CallerIdentifier;
  readonly logger: Logger;
  readonly bodyLimitBytes: number;
  /** All work on a request must be done by then. */
  readonly requestDeadlineMs: number;
  readonly metrics: Pick<
    Metrics,
    'paymentSigned' | 'answerRepeated' | 'stateForked' | 'rulesObserved'
  >;
};

/** `POST /generate-live-payment`: one payment, from body to answer. */
export function mountGenerateLivePayment(router: Router, options: GenerateLivePaymentRoute): void {
  const { logger, metrics } = options;
  router
    .route('/generate-live-payment')
    .post(startDeadline(options.requestDeadlineMs))
    .post(identifyCaller(options.identifyCaller, 'required'), readBody(options.bodyLimitBytes))
    .post(async (request, response) => {
      const startedAt = performance.now();
      const call = {
        body: bodyOf(request),
        caller: callerOf(response),
        requestId: requestIdOf(response),
        idempotencyKey: idempotencyKeyOf(request),
        signal: deadlineOf(response),
      };
      const { answer, payment } = await eventLoopTurns.run('new', () => {
        requireTimeLeft(call.signal);
        return options.generateLivePayment(call);
      });
      send(response, { status: 200, headers: json, body: `${answer}\n` });
      if (payment) {
        noteSigned(describeRequest(response), payment, performance.now() - startedAt);
      } else {
        metrics.answerRepeated();
        logger.info(describeRequest(response), 'answer repeated');
      }
    })
    .all(refuseMethod('POST'));

  function noteSigned(
    request: ReturnType<typeof describeRequest>,
    payment: MadePayment,
    durationMs: number,
  ): void {
    const { record, sender, allowed, isFork, usageLabels, feeUsd } = payment;
    const { id: principal, tenant } = allowed.principal;
    metrics.paymentSigned({
      sender,
      type: record.pipeline,
      tenant,
      tickets: record.num_tickets,
      ev: allowed.ev,
      fee: BigInt(record.computed_fee),
      seconds: durationMs / 1000,
    });
    metrics.rulesObserved(allowed.observed);
    if (isFork) metrics.stateForked();
    logger.info(
      {
        ...request,
        sender,
        principal,
        tenant,
        rules: allowed.rules,
        observed: allowed.observed,
        fork: isFork,
        usage: usageLabels,
        duration_ms: durationMs,
        payment: { ...record, computed_fee_usd: feeUsd },
      },
      'payment signed',
    );
  }
}

/** Throws `SERVER_OVERLOADED` where the request's turn came after its deadline, or after the client had left. */
function requireTimeLeft({ aborted }: AbortSignal): void {
  if (!aborted) return;
  throw new ServerError('SERVER_OVERLOADED', 'the turn of this request came after its deadline');
}

/** Visible ASCII characters. */
export const idempotencyKeyPattern = /^[\x21-\x7e]{1,255}$/;

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
