import type { Request, RequestHandler, Response } from 'express';
import type { Caller } from '../auth/authorization.ts';
import type { CallerIdentifier } from '../auth/caller.ts';
import { anonymous } from '../auth/principal.ts';
import { RefusalError } from '../payments/refusal-error.ts';
import { randomId } from '../random-id.ts';
import { certificateOf } from './tls.ts';

/** Gives each request an id, which its answer carries as `X-Request-Id`. */
export const identifyRequest: RequestHandler = (_request, response, next) => {
  const requestId = randomId();
  response.locals['requestId'] = requestId;
  response.setHeader('X-Request-Id', requestId);
  next();
};

/** Establishes who asks, before the body is read. Passes on what `identify` throws. */
export function identifyCaller(
  identify: CallerIdentifier,
  demand: 'required' | 'optional',
): RequestHandler {
  return async ({ rawHeaders, socket }, response, next) => {
    const remoteAddress = socket.remoteAddress ?? '';
    const transport = { rawHeaders, remoteAddress, certificate: certificateOf(socket) };
    response.locals['caller'] = await identify(transport, demand);
    next();
  };
}

/** The id that {@link identifyRequest} gave: 32 hex digits. */
export function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
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
