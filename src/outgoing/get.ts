import http from 'node:http';
import https from 'node:https';
import type { Destinations } from './destinations.ts';
import type { OutgoingLimits } from './limits.ts';
import { OutgoingError, toOutgoingError } from './outgoing-error.ts';
import { sharedTlsContext } from './tls-context.ts';

/** The answer to a GET request. */
export type OutgoingAnswer = { readonly status: number; readonly body: Buffer };

/**
 * Requests a URL that somebody else has written: on a connection of its own, without credentials, without following redirects,
 * within the limits. Any status counts as an answer. Throws {@link OutgoingError}.
 */
export async function getOutgoing(
  destinations: Destinations,
  url: URL,
  limits: OutgoingLimits,
): Promise<OutgoingAnswer> {
  const lookup = destinations.lookupFor(url);
  const deadline = AbortSignal.timeout(limits.timeoutMs);
  const signal = AbortSignal.any([deadline, limits.signal]);
  const options = {
    agent: false,
    lookup,
    headers: { Accept: 'application/json', 'Accept-Encoding': 'identity' },
    rejectUnauthorized: limits.verifyTls,
    ...(url.protocol === 'https:' && { secureContext: sharedTlsContext() }),
    signal,
  } as const;
  try {
    const { get } = url.protocol === 'https:' ? https : http;
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      get(url, options, resolve).on('error', reject);
    });
    const body = await readBody(response, limits.maxBytes);
    // a body without a length seems complete when its connection is cut
    signal.throwIfAborted();
    return { status: response.statusCode ?? 0, body };
  } catch (error) {
    throw toOutgoingError(error, deadline);
  }
}

async function readBody(response: http.IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // leaving the loop ends the connection
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new OutgoingError('oversized', `more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
