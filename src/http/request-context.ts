import type { Request, RequestHandler, Response } from 'express';
import type { Caller } from '../auth/authorization.ts';
import type { CallerIdentifier } from '../auth/caller.ts';
import { anonymous } from '../auth/principal.ts';
import { RefusalError } from '../payments/refusal-error.ts';
import { randomId } from '../random-id.ts';
import { type TraceContext, readTraceContext } from '../trace-context.ts';
import { type StepMessage, isTraced, stepChannels } from '../trace-steps.ts';
import { certificateOf } from './tls.ts';

/** Gives each request an id, which its answer carries as `X-Request-Id`. */
export const identifyRequest: RequestHandler = ({ headers }, response, next) => {
  const requestId = randomId();
  response.locals['requestId'] = requestId;
  response.locals['trace'] = readTraceContext(headers);
  response.setHeader('X-Request-Id', requestId);
  next();
};

/** Publishes the request, from here to the end of its answer, where anybody subscribes. */
export const traceRequest: RequestHandler = (request, response, next) => {
  if (!isTraced('request')) {
    next();
    return;
  }
  const { start, asyncEnd } = stepChannels.request;
  const { traceparent } = traceOf(response);
  const attributes = { method: request.method, request_id: requestIdOf(response) };
  const message: StepMessage = { attributes, traceparent };
  response.once('close', () => {
    // the path as it is mounted: what a caller writes there may be anything
    const { path } = (request.route ?? {}) as { readonly path?: string };
    const { statusCode: status, writableFinished } = response;
    const code = response.locals['code'] as string | undefined;
    Object.assign(message.attributes, { route: path, ...(writableFinished && { status }), code });
    asyncEnd.publish(message);
  });
  start.runStores(message, () => next());
};

/** Establishes who asks, before the body is read. Passes on what `identify` throws. */
export function identifyCaller(
  identify: CallerIdentifier,
  demand: 'required' | 'optional',
): RequestHandler {
  return async ({ rawHeaders, socket }, response, next) => {
    const remoteAddress = socket.remoteAddress ?? '';
    const certificate = certificateOf(socket);
    const transport = { rawHeaders, remoteAddress, certificate, trace: traceOf(response) };
    response.locals['caller'] = await identify(transport, demand);
    next();
  };
}

/** The id that {@link identifyRequest} gave: 32 hex digits. */
export function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

/** The caller's own word on what its request belongs to. */
function traceOf(response: Response): TraceContext {
  return response.locals['trace'] as TraceContext;
}

/** What ties a log line to the request, to the caller's records and to its trace. */
export function describeRequest(response: Response): Readonly<Record<string, string | undefined>> {
  const { traceId, clientRequestId } = traceOf(response);
  return {
    request_id: requestIdOf(response),
    client_request_id: clientRequestId,
    trace_id: traceId,
  };
}

/** What {@link identifyCaller} has established. */
export function callerOf(response: Response): Caller {
  return response.locals['caller'] as Caller;
}

/** The body as `readBody` has left it. */
export function bodyOf(request: Request): Uint8Array {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body : new Uint8Array();
}

/**
 * Begins the time that a request may take, at its head: identifying its caller and receiving its body count. {@link deadlineOf}
 * is aborted when it is over, and when the client goes away before it has its answer.
 */
export function startDeadline(deadlineMs: number): RequestHandler {
  return (_request, response, next) => {
    const ended = new AbortController();
    const timer = setTimeout(() => {
      ended.abort(new DOMException("the request's deadline has passed", 'TimeoutError'));
    }, deadlineMs);
    response.once('close', () => {
      clearTimeout(timer);
      if (!response.writableEnded) ended.abort(new Error('the client has gone away'));
    });
    response.locals['deadline'] = ended.signal;
    next();
  };
}

/** The signal of {@link startDeadline}. */
export function deadlineOf(response: Response): AbortSignal {
  return response.locals['deadline'] as AbortSignal;
}

/** For log lines; nothing where nobody was authenticated. */
export function describePrincipal(
  response: Response,
  error: unknown,
): { principal?: string; tenant?: string } {
  const decided = error instanceof RefusalError ? error.principal : undefined;
  const caller = response.locals['caller'] as Caller | undefined;
  const { id, tenant } = decided ?? caller?.principal ?? anonymous;
  return { ...(id !== '' && { principal: id }), ...(tenant !== '' && { tenant }) };
}
