import { type IncomingMessage, request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { Readable } from 'node:stream';
import type { Fetch } from '../fetch.ts';

/**
 * A `fetch` for orchestrators: they sign their certificates themselves, so it does not verify them, as no gateway does. Tickets
 * name whom they pay, but what else you send can be read by whoever stands between. Redirects are not followed.
 *
 * @example
 * ```ts
 * import { orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const answer = await orchestratorFetch('https://orchestrator.example:8935/discovery');
 * console.log(answer.status);
 * ```
 */
export const orchestratorFetch: Fetch = async (input, init) => {
  const { url, method, headers, body, signal } = new Request(input, init);
  const content =
    body === null ? undefined : Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]);
  signal.throwIfAborted();
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      method,
      headers: Object.fromEntries(headers),
      signal,
      rejectUnauthorized: false,
    };
    const sent = url.startsWith('https:')
      ? requestTls(url, options, resolve)
      : requestPlain(url, options, resolve);
    sent.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    if (content === undefined) sent.end();
    else content.on('error', reject).pipe(sent);
  });
  const status = answer.statusCode ?? 0;
  const hasBody = ![204, 205, 304].includes(status) && method !== 'HEAD';
  if (!hasBody) answer.resume();
  return new Response(hasBody ? (Readable.toWeb(answer) as ReadableStream<Uint8Array>) : null, {
    status,
    statusText: answer.statusMessage ?? '',
    headers: Object.entries(answer.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    ),
  });
};
