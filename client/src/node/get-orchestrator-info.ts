import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import type { SignerClient } from '../create-signer-client.ts';
import { OrchestratorRefusalError, OrchestratorUnreachableError } from '../errors.ts';
import type { Encoded } from '../generate-live-payment.ts';
import { fromBase64 } from '../wire/base64.ts';
import { fromHex } from '../wire/hex.ts';
import { concatBytes, writeField } from '../wire/protobuf.ts';

/** Who asks whom. */
export type GetOrchestratorInfoOptions = {
  /** Says who asks. */
  readonly client: SignerClient;
  /** URL of the orchestrator: `https`, or `http` for one without TLS. */
  readonly url: string;
  /** `net.Capabilities` that the work needs. */
  readonly capabilities?: Encoded | undefined;
  /** Whether an orchestrator without room answers too. */
  readonly ignoreCapacityCheck?: boolean | undefined;
  /** 5,000 if left out. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

const path = '/net.Orchestrator/GetOrchestrator';
const maxAnswerBytes = 4 * 1024 * 1024;

/**
 * An orchestrator's terms, by gRPC: a `net.OrchestratorInfo`, as bytes. The orchestrator's certificate is not verified, for
 * orchestrators sign it themselves. Throws `OrchestratorRefusalError` with the gRPC status, `OrchestratorUnreachableError`,
 * what the signer client throws, and the reason of an aborted `signal`.
 *
 * @example
 * ```ts
 * import { createSignerClient, decodeOrchestratorInfo } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const info = await getOrchestratorInfo({ client, url: 'https://orchestrator.example:8935' });
 * console.log(decodeOrchestratorInfo(info).sessionId);
 * ```
 */
export async function getOrchestratorInfo(
  options: GetOrchestratorInfoOptions,
): Promise<Uint8Array> {
  const { client, url, capabilities, ignoreCapacityCheck, timeoutMs = 5_000, signal } = options;
  const { address, signature } = await client.signOrchestratorInfo({ ...(signal && { signal }) });
  const request = concatBytes([
    writeField(1, fromHex(address)),
    writeField(2, fromHex(signature)),
    ...(capabilities === undefined ? [] : [writeField(3, decode(capabilities))]),
    ...(ignoreCapacityCheck === true ? [writeField(4, true)] : []),
  ]);
  return callUnary({ url, request, timeoutMs, signal });
}

type UnaryCall = {
  readonly url: string;
  readonly request: Uint8Array;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
};

async function callUnary({ url, request, timeoutMs, signal }: UnaryCall): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const { origin } = new URL(url);
  const timeout = AbortSignal.timeout(timeoutMs);
  const ended = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const connection = connect(origin, { rejectUnauthorized: false });
  try {
    return await Promise.race([
      exchangeMessage(connection, request, timeoutMs),
      new Promise<never>((_, reject) => {
        const onAbort = (): void => reject(new Error(`none from ${origin} in ${timeoutMs} ms`));
        ended.addEventListener('abort', onAbort, { once: true });
      }),
    ]);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof OrchestratorRefusalError) throw cause;
    throw new OrchestratorUnreachableError(
      cause instanceof Error ? cause.message : String(cause),
      cause,
    );
  } finally {
    connection.destroy();
  }
}

type AnswerHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** One message out and one in, each after a byte that tells it is not compressed and four that tell its length. */
async function exchangeMessage(
  connection: ClientHttp2Session,
  request: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, request.length);
  const { headers, trailers, body } = await new Promise<{
    headers: AnswerHeaders;
    trailers: IncomingHttpHeaders;
    body: Uint8Array;
  }>((resolve, reject) => {
    connection.on('error', reject);
    const stream = connection.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${timeoutMs}m`,
    });
    let headers: AnswerHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Uint8Array[] = [];
    let received = 0;
    stream.on('response', (given) => (headers = given));
    stream.on('trailers', (given: IncomingHttpHeaders) => (trailers = given));
    stream.on('data', (chunk: Uint8Array) => {
      chunks.push(chunk);
      received += chunk.length;
      if (received > maxAnswerBytes) reject(new Error(`more than ${maxAnswerBytes} bytes`));
    });
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('the connection was closed')));
    stream.on('end', () => resolve({ headers, trailers, body: concatBytes(chunks) }));
    stream.end(concatBytes([prefix, request]));
  });
  if (headers[':status'] !== 200) throw new Error(`HTTP status ${headers[':status'] ?? 'unknown'}`);
  const status = Number(trailers['grpc-status'] ?? headers['grpc-status'] ?? 2);
  if (status !== 0) {
    const details = trailers['grpc-message'] ?? headers['grpc-message'] ?? '';
    throw new OrchestratorRefusalError(status, decodeDetails(String(details)));
  }
  const length = body.length < 5 ? -1 : new DataView(body.buffer, body.byteOffset).getUint32(1);
  if (body[0] !== 0 || length !== body.length - 5) throw new Error('not one uncompressed message');
  return body.subarray(5);
}

/** gRPC percent-encodes what is not ASCII. */
function decodeDetails(details: string): string {
  try {
    return decodeURIComponent(details);
  } catch {
    return details;
  }
}

function decode(message: Encoded): Uint8Array {
  return typeof message === 'string' ? fromBase64(message) : message;
}
