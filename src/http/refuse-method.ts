import type { RequestHandler } from 'express';
import { plainText, send } from './send.ts';

/** 405 for what is not POST, in go-livepeer's words. */
export const refuseMethod: RequestHandler = (_request, response) => {
  const headers = { ...plainText, Allow: 'POST' };
  send(response, { status: 405, headers, body: 'Method Not Allowed\n' });
};
