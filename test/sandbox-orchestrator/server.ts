import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { generate } from 'selfsigned';
import {
  type OrchestratorInfo,
  OrchestratorInfoSchema,
  OrchestratorRequestSchema,
  PaymentResultSchema,
} from '../../src/wire/net_pb.ts';
import { findByocJobFault } from './byoc-job.ts';
import { type SandboxFault, answerWithFault } from './faults.ts';
import { type OrchestratorConfig, SandboxOrchestrator } from './orchestrator.ts';
import { collectStats } from './stats.ts';
import type { SandboxWorld } from './world.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('sandbox server');

const getOrchestratorPath = '/net.Orchestrator/GetOrchestrator';

export type SandboxServerOptions = {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly config: Omit<OrchestratorConfig, 'serviceUrl'>;
  readonly world: SandboxWorld;
  /** where the orchestrator says it is; where it listens unless told */
  readonly serviceUrl?: string;
  /** the `/discovery` document for an orchestrator at `url`; 404 without it */
  readonly makeDiscoveryDocument?: (url: string) => unknown;
  /** made by the server unless told */
  readonly certificate?: SandboxCertificate;
};

/** PEM */
export type SandboxCertificate = { readonly private: string; readonly cert: string };

/** A certificate signed by itself. */
export function createSandboxCertificate(host: string): Promise<SandboxCertificate> {
  return generate([{ name: 'commonName', value: host }], { keyType: 'ec', algorithm: 'sha256' });
}

export type SandboxServer = {
  /** `https://host:port` */
  readonly url: string;
  readonly orchestrator: SandboxOrchestrator;
  /** how requests are failed; undefined while all is well */
  fault: SandboxFault | undefined;
  close(): Promise<void>;
};

/**
 * Serves a {@link SandboxOrchestrator} as go-livepeer does: gRPC and HTTPS on one TLS port, with a certificate
 * signed by itself. `GET /sandbox/stats` and `POST /sandbox/advance` are for those who run the sandbox.
 */
export async function startSandboxServer(options: SandboxServerOptions): Promise<SandboxServer> {
  const { host, port, config, world } = options;
  const certificate = options.certificate ?? (await createSandboxCertificate(host));
  const server = createSecureServer({
    key: certificate.private,
    cert: certificate.cert,
    allowHTTP1: true,
  });
  await listen(server, host, port);
  const url = `https://${host}:${(server.address() as AddressInfo).port}`;
  const orchestrator = new SandboxOrchestrator(
    { ...config, serviceUrl: options.serviceUrl ?? url },
    { now: world.now, chain: world.chain, randomBytes: random.bytes },
  );
  const sockets = new Set<Socket>();
  server.on('secureConnection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('request', (request, response) => {
    if (sandbox.fault) {
      answerWithFault(sandbox.fault, isGrpc(request), response);
      return;
    }
    if (options.makeDiscoveryDocument && `${request.method} ${request.url}` === 'GET /discovery') {
      answerJson(response, 200, options.makeDiscoveryDocument(url));
      return;
    }
    answer(orchestrator, world, request, response).catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(describe(error));
    });
  });
  const sandbox: SandboxServer = {
    url,
    orchestrator,
    fault: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
  return sandbox;
}

async function listen(server: Http2SecureServer, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function answer(
  orchestrator: SandboxOrchestrator,
  world: SandboxWorld,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  if (isGrpc(request)) {
    answerGrpc(orchestrator, request.url, body, response);
    return;
  }
  switch (`${request.method} ${request.url}`) {
    case 'POST /payment': {
      const outcome = orchestrator.receivePayment(
        header(request, 'livepeer-payment'),
        header(request, 'livepeer-segment'),
      );
      if (outcome.status === 200) {
        response.end(toBinary(PaymentResultSchema, outcome.result));
        return;
      }
      response.writeHead(outcome.status, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(`${outcome.reason}\n`);
      return;
    }
    case 'POST /refresh-payment':
      answerRefresh(orchestrator, body, response);
      return;
    case 'POST /live-video-to-video':
      answerVideo(orchestrator, request, response);
      return;
    case 'GET /sandbox/stats':
      answerJson(response, 200, collectStats(orchestrator));
      return;
    case 'POST /sandbox/advance':
      world.advance(readAdvance(body));
      orchestrator.tickAll();
      answerJson(response, 200, collectStats(orchestrator));
      return;
    default:
      if (answerByocJob(orchestrator, request, body, response)) return;
      if (answerRunner(orchestrator, request, body, response)) return;
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
      response.end('404 page not found\n');
  }
}

function isGrpc(request: Http2ServerRequest): boolean {
  return request.headers['content-type']?.startsWith('application/grpc') === true;
}

/** One length-prefixed message in, one out; the status travels in the trailers. */
function answerGrpc(
  orchestrator: SandboxOrchestrator,
  path: string,
  body: Buffer,
  response: Http2ServerResponse,
): void {
  response.writeHead(200, { 'content-type': 'application/grpc' });
  if (path !== getOrchestratorPath) {
    endGrpc(response, grpcStatus.unimplemented, `unknown method ${path}`);
    return;
  }
  if (body.length < 5 || body.readUInt8(0) !== 0 || body.readUInt32BE(1) !== body.length - 5) {
    endGrpc(response, grpcStatus.unimplemented, 'not one uncompressed message');
    return;
  }
  let message: Uint8Array;
  try {
    const request = fromBinary(OrchestratorRequestSchema, body.subarray(5));
    message = toBinary(OrchestratorInfoSchema, orchestrator.getOrchestratorInfo(request));
  } catch (error) {
    endGrpc(response, grpcStatus.unknown, describe(error));
    return;
  }
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  response.write(Buffer.concat([prefix, message]));
  endGrpc(response, grpcStatus.ok, '');
}

const grpcStatus = { ok: 0, unknown: 2, unimplemented: 12 } as const;

function endGrpc(response: Http2ServerResponse, status: number, details: string): void {
  response.addTrailers({
    'grpc-status': `${status}`,
    'grpc-message': encodeURI(details),
  });
  response.end();
}

function answerRefresh(
  orchestrator: SandboxOrchestrator,
  body: Buffer,
  response: Http2ServerResponse,
): void {
  const { sender, manifest_id: manifestId } = parseObject(body);
  if (typeof sender !== 'string' || !/^0x[0-9a-fA-F]{40}$/.test(sender)) {
    answerJson(response, 400, { error: { message: 'invalid sender' } });
    return;
  }
  if (typeof manifestId !== 'string' || manifestId === '') {
    answerJson(response, 400, { error: { message: 'missing manifest_id' } });
    return;
  }
  const info = orchestrator.refreshPayment(sender, manifestId);
  if (info === undefined) {
    answerJson(response, 409, { error: { message: 'fixed price not found for session' } });
    return;
  }
  answerJson(response, 200, {
    payment_params: Buffer.from(toBinary(OrchestratorInfoSchema, info)).toString('base64'),
    orchestrator: info.transcoder,
    manifest_id: manifestId,
    payment_url: `${info.transcoder}/payment`,
  });
}

/** Begins a job for a payment. Later ones name the manifest id of the answer, and go to `/payment`. */
function answerVideo(
  orchestrator: SandboxOrchestrator,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): void {
  const outcome = orchestrator.receivePayment(
    header(request, 'livepeer-payment'),
    header(request, 'livepeer-segment'),
  );
  if (outcome.status === 200) {
    answerJson(response, 200, { manifest_id: outcome.result.info?.authToken?.sessionId });
    return;
  }
  response.writeHead(outcome.status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${outcome.reason}\n`);
}

/** A job for a capability of any name, which sends back what it was sent. False for other paths. */
function answerByocJob(
  orchestrator: SandboxOrchestrator,
  request: Http2ServerRequest,
  body: Buffer,
  response: Http2ServerResponse,
): boolean {
  if (!request.url.startsWith('/process/request/')) return false;
  const jobFault = findByocJobFault(header(request, 'livepeer'));
  if (jobFault !== undefined) {
    response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`Could not verify job creds: ${jobFault}\n`);
    return true;
  }
  const outcome = orchestrator.receivePayment(
    header(request, 'livepeer-payment'),
    header(request, 'livepeer-segment'),
  );
  if (outcome.status === 200) {
    echo(request, body, response);
    return true;
  }
  response.writeHead(outcome.status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${outcome.reason}\n`);
  return true;
}

const runnerPath = /^\/apps\/([^/]+)\/(session|session\/([^/]+)\/payment|app\/(.*))$/;
const sessionPath = /^\/apps\/[^/]+\/session\/([^/]+)\/(stop|app\/.*|payment\/refresh-payment)$/;

/**
 * A live runner of any name: `session` reserves, `session/ID/payment` takes later payments, and `app/…` works at once and sends
 * back what it was sent. `app/paid/N` goes on until the session was paid N times. A session that was paid for works at
 * `session/ID/app/…`, and `session/ID/stop` says that it is over; terms for its next payments are at `session/ID/payment/refresh-payment` too. False for
 * other paths.
 */
function answerRunner(
  orchestrator: SandboxOrchestrator,
  request: Http2ServerRequest,
  body: Buffer,
  response: Http2ServerResponse,
): boolean {
  const [, ownSession, ownTask] = sessionPath.exec(request.url) ?? [];
  if (ownTask === 'payment/refresh-payment') {
    answerRefresh(orchestrator, body, response);
    return true;
  }
  if (ownSession !== undefined) {
    const isPaid = orchestrator.accounts.some((each) => each.manifestId === ownSession);
    if (!isPaid) return false;
    if (ownTask === 'stop') response.end();
    else echo(request, body, response);
    return true;
  }
  const [, runner, task, sessionId, app = ''] = runnerPath.exec(request.url) ?? [];
  if (runner === undefined || task === undefined) return false;
  const [payment, segment] = [
    header(request, 'livepeer-payment'),
    header(request, 'livepeer-segment'),
  ];
  if (payment === '') {
    const sender = header(request, 'livepeer-payer-address');
    if (!/^0x[0-9a-fA-F]{40}$/.test(sender)) {
      const message = 'invalid live runner payment signer address';
      answerJson(response, 402, { error: { message } });
      return true;
    }
    answerJson(response, 402, challengeOf(orchestrator.challenge(sender), runner));
    return true;
  }
  const outcome = orchestrator.receivePayment(payment, segment);
  if (outcome.status !== 200) {
    response.writeHead(outcome.status, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`${outcome.reason}\n`);
    return true;
  }
  const { info } = outcome.result;
  const id = info?.authToken?.sessionId ?? '';
  if (sessionId !== undefined) response.end(toBinary(PaymentResultSchema, outcome.result));
  else if (task === 'session')
    answerJson(response, 200, reservationOf(info?.transcoder, runner, id));
  else if (app.startsWith('paid/'))
    answerUntilPaid(orchestrator, id, Number(app.slice(5)), response);
  else echo(request, body, response);
  return true;
}

function echo(request: Http2ServerRequest, body: Buffer, response: Http2ServerResponse): void {
  response.setHeader('content-type', header(request, 'content-type') || 'application/octet-stream');
  response.end(body);
}

function challengeOf(info: OrchestratorInfo, runner: string): Record<string, string> {
  const id = info.authToken?.sessionId ?? '';
  return {
    payment_params: Buffer.from(toBinary(OrchestratorInfoSchema, info)).toString('base64'),
    orchestrator: info.transcoder,
    manifest_id: id,
    payment_url: `${info.transcoder}/apps/${runner}/session/${id}/payment`,
  };
}

function reservationOf(url = '', runner: string, id: string): Record<string, string> {
  const session = `${url}/apps/${runner}/session/${id}`;
  return { session_id: id, app_url: `${session}/app`, control_url: session };
}

/** Sends a line for each payment that the session has been paid by. */
function answerUntilPaid(
  orchestrator: SandboxOrchestrator,
  manifestId: string,
  payments: number,
  response: Http2ServerResponse,
): void {
  let seen = 0;
  const timer = setInterval(() => {
    const account = orchestrator.accounts.find((each) => each.manifestId === manifestId);
    const paid = account?.acceptedPayments ?? 0;
    for (; seen < paid; seen += 1) response.write(`paid ${seen + 1}\n`);
    if (seen < payments) return;
    clearInterval(timer);
    response.end();
  }, 10);
  response.on('close', () => clearInterval(timer));
}

function readAdvance(body: Buffer): { seconds?: bigint; l1Blocks?: bigint } {
  const { seconds, l1Blocks } = parseObject(body);
  return {
    ...(Number.isSafeInteger(seconds) && { seconds: BigInt(seconds as number) }),
    ...(Number.isSafeInteger(l1Blocks) && { l1Blocks: BigInt(l1Blocks as number) }),
  };
}

function parseObject(body: Buffer): Record<string, unknown> {
  const value: unknown = JSON.parse(body.toString('utf8'));
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function answerJson(response: Http2ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

async function readBody(request: Http2ServerRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function header(request: Http2ServerRequest, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
