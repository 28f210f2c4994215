import type { Response } from 'express';

/** An answer to be sent; `Content-Length` is added. */
export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export const json = { 'Content-Type': 'application/json' };
export const plainText = {
  'Content-Type': 'text/plain; charset=utf-8',
  'X-Content-Type-Options': 'nosniff',
};

/** Sends the whole answer. */
export function send(response: Response, { status, headers, body }: Answer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const length = Buffer.byteLength(body);
  response.setHeader('Content-Length', length);
  // ASCII text is sent together with the headers, in one piece
  if (length === body.length) response.end(body, 'latin1');
  else response.end(body);
}
