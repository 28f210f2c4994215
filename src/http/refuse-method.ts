import type { RequestHandler } from 'express';
import { plainText, send } from './send.ts';

/** Answers 405 to all methods but those that are allowed, as `Allow` lists them, in go-livepeer's words. */
export function refuseMethod(allowed: string): RequestHandler {
  const headers = { ...plainText, Allow: allowed };
  return (_request, response) =>
    send(response, { status: 405, headers, body: 'Method Not Allowed\n' });
}
