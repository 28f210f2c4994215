import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { expect } from 'vitest';
import { soon } from '../support/soon.ts';

export type Question = {
  readonly path?: string;
  readonly body?: string;
  /** several values are sent as several headers */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** what the client trusts, and what it shows */
  readonly tls?: SecureContextOptions;
};

export type Answer = {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
};

/** POST over a connection of its own. */
export async function ask(signerUrl: string, question: Question): Promise<Answer> {
  const { path = '/generate-live-payment', body = '', headers = {}, tls = {} } = question;
  const url = `${signerUrl}${path}`;
  const options = {
    method: 'POST',
    agent: false as const,
    headers: { 'Content-Type': 'application/json', ...headers } as http.OutgoingHttpHeaders,
  };
  const request = url.startsWith('https:')
    ? https.request(url, { ...options, ...tls })
    : http.request(url, options);
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: Buffer.concat(chunks).toString(),
  };
}

/** Has the file of API keys read again, and waits until this key of it is taken. */
export async function untilTaken(
  signerUrl: string,
  key: string,
  tls: SecureContextOptions = {},
): Promise<void> {
  process.emit('SIGHUP');
  await soon(async () => {
    const { status } = await ask(signerUrl, { body: '{}', headers: { 'X-Api-Key': key }, tls });
    expect(status).not.toBe(401);
  });
}
