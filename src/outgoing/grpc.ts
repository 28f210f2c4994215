import http2 from 'node:http2';
import type { Destinations } from './destinations.ts';
import type { OutgoingLimits } from './limits.ts';
import { OutgoingError, toOutgoingError } from './outgoing-error.ts';
import { sharedTlsContext } from './tls-context.ts';

/** The bytes before a message: compression flag and length. */
const prefixBytes = 5;
const maxSessionMemoryMegabytes = 4;

/**
 * Calls one method of a gRPC service at a URL that somebody else has written, with one message each way, on a connection of its
 * own. `method` is `/package.Service/Method`. Throws {@link OutgoingError}.
 */
export async function callOutgoingGrpc(
  destinations: Destinations,
  url: URL,
  method: string,
  message: Uint8Array,
  limits: OutgoingLimits,
): Promise<Buffer> {
  const lookup = destinations.lookupFor(url);
  const deadline = AbortSignal.timeout(limits.timeoutMs);
  const signal = AbortSignal.any([deadline, limits.signal]);
  const session = http2.connect(url.origin, {
    // the types allow this for TLS only, but http2.connect hands every option on to the socket
    ...{ lookup },
    ...(url.protocol === 'https:' && { secureContext: sharedTlsContext() }),
    rejectUnauthorized: limits.verifyTls,
    maxSessionMemory: maxSessionMemoryMegabytes,
    settings: { enablePush: false },
  });
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const fail = (error: unknown): void => reject(toOutgoingError(error, deadline));
      session.on('error', fail);
      session.on('close', () => fail(new Error('the connection was closed')));
      if (signal.aborted) {
        fail(signal.reason);
        return;
      }
      signal.addEventListener('abort', () => fail(signal.reason), { once: true });
      const stream = session.request({
        ':method': 'POST',
        ':path': method,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      let size = 0;
      let problem: string | undefined;
      const readHeaders = (headers: http2.IncomingHttpHeaders): void => {
        problem ??= describeProblem(headers);
      };
      stream.on('response', readHeaders);
      stream.on('trailers', readHeaders);
      stream.on('error', fail);
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= limits.maxBytes) chunks.push(chunk);
        else fail(new OutgoingError('oversized', `more than ${limits.maxBytes} bytes`));
      });
      stream.on('end', () => {
        if (problem !== undefined) {
          fail(new OutgoingError('status', problem));
          return;
        }
        const answer = readMessage(Buffer.concat(chunks));
        if (answer) resolve(answer);
        else fail(new OutgoingError('malformed', 'not one uncompressed gRPC message'));
      });
      const prefix = Buffer.alloc(prefixBytes);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
    });
  } finally {
    session.destroy();
  }
}

/** The problem that headers or trailers report; undefined for none. */
function describeProblem(
  headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader,
): string | undefined {
  const { ':status': status = 200, 'grpc-status': grpcStatus = '0' } = headers;
  if (status !== 200) return `HTTP status ${status}`;
  if (grpcStatus === '0') return undefined;
  const isNumber = typeof grpcStatus === 'string' && /^\d{1,2}$/.test(grpcStatus);
  return `gRPC status ${isNumber ? grpcStatus : 'unknown'}`;
}

function readMessage(body: Buffer): Buffer | undefined {
  if (body.length < prefixBytes || body.readUInt8(0) !== 0) return undefined;
  return body.readUInt32BE(1) === body.length - prefixBytes
    ? body.subarray(prefixBytes)
    : undefined;
}
