import { AsyncLocalStorage } from 'node:async_hooks';
import type { Request, RequestHandler } from 'express';
import { RequestError } from '../errors.ts';
import { isTraced } from '../trace-steps.ts';
import { deadlineOf } from './request-context.ts';

/**
 * Reads the body as bytes, whatever its type, into `request.body`. A compressed body is refused, and so is one that has not
 * arrived by the deadline.
 */
export function readBody(limitBytes: number): RequestHandler {
  const tooLarge = () =>
    new RequestError('BODY_TOO_LARGE', `request body is over ${limitBytes} bytes`);
  return (request: Request, response, next) => {
    const { 'content-encoding': encoding = 'identity', 'content-length': length } = request.headers;
    if (encoding.toLowerCase() !== 'identity') {
      next(unreadable('content encoding unsupported'));
      return;
    }
    if (Number(length) > limitBytes) {
      next(tooLarge());
      return;
    }
    // the connection's own events belong to no trace
    const goOn = isTraced('request') ? AsyncLocalStorage.bind(next) : next;
    const chunks: Buffer[] = [];
    let received = 0;
    const take = (chunk: Buffer): void => {
      received += chunk.length;
      if (received > limitBytes) finish(tooLarge());
      else chunks.push(chunk);
    };
    const end = (): void => {
      request.body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      finish();
    };
    const fail = ({ message }: Error): void => finish(unreadable(message));
    const deadline = deadlineOf(response);
    const giveUp = (): void => {
      const { reason } = deadline as { reason: unknown };
      if (!(reason instanceof DOMException)) return;
      response.setHeader('Connection', 'close');
      finish(new RequestError('BODY_LATE', 'the request body did not come in time'));
    };
    const finish = (error?: RequestError): void => {
      request.off('data', take).off('end', end).off('error', fail);
      deadline.removeEventListener('abort', giveUp);
      if (error) request.pause();
      goOn(error);
    };
    request.on('data', take).on('end', end).on('error', fail);
    deadline.addEventListener('abort', giveUp);
    if (deadline.aborted) giveUp();
  };
}

function unreadable(reason: string): RequestError {
  return new RequestError('BODY_MALFORMED', `request can't be read: ${reason}`);
}
