import { X509Certificate, createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { Caller } from '../auth/authorization.ts';
import { ConfigError, RequestError, isSignerError } from '../errors.ts';
import type { Logger } from '../ops/logger.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { LivePaymentResult, PaymentCall } from '../payments/generate-live-payment.ts';
import type { Readiness } from '../payments/readiness.ts';
import type { OrchestratorInfoSignature } from '../payments/sign-orchestrator-info.ts';
import { type Answer, answerError } from './error-answer.ts';

export type HttpServerOptions = {
  readonly orchestratorInfo: (caller: Caller) => OrchestratorInfoSignature;
  readonly generateLivePayment: (call: PaymentCall) => Promise<LivePaymentResult>;
  readonly identifyCaller: (rawHeaders: readonly string[], remoteAddress: string) => Caller;
  readonly logger: Logger;
  readonly bodyLimitBytes: number;
  /** All work on a request must be done by then. */
  readonly requestDeadlineMs: number;
  readonly checkReadiness: () => Promise<Readiness>;
  readonly metrics: Pick<Metrics, 'paymentSigned' | 'requestRefused'>;
};

const json = { 'Content-Type': 'application/json' };
const plainText = {
  'Content-Type': 'text/plain; charset=utf-8',
  'X-Content-Type-Options': 'nosniff',
};

/** The remote-signer protocol over HTTP: routes, bodies, headers and statuses, and nothing else. */
export function createHttpApp(options: HttpServerOptions): express.Express {
  const { logger } = options;
  const callerOf = ({ rawHeaders, socket }: Request): Caller =>
    options.identifyCaller(rawHeaders, socket.remoteAddress ?? '');
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');

  app.use((_request, response, next) => {
    const requestId = randomBytes(16).toString('hex');
    response.locals['requestId'] = requestId;
    response.setHeader('X-Request-Id', requestId);
    next();
  });

  app.all('/healthz', (_request, response) =>
    send(response, { status: 200, headers: {}, body: '' }),
  );

  app.all('/readyz', async (_request, response) => {
    const { isReady, report } = await options.checkReadiness();
    const body = `${JSON.stringify(report)}\n`;
    send(response, { status: isReady ? 200 : 503, headers: json, body });
  });

  app
    .route('/sign-orchestrator-info')
    .post((request, response) => {
      const info = options.orchestratorInfo(callerOf(request));
      send(response, { status: 200, headers: json, body: `${JSON.stringify(info)}\n` });
    })
    .all(refuseMethod);

  app
    .route('/generate-live-payment')
    .post(readBody(options.bodyLimitBytes), async (request, response) => {
      const startedAt = performance.now();
      const { answer, record, sender } = await options.generateLivePayment({
        body: bodyOf(request),
        caller: callerOf(request),
        requestId: requestIdOf(response),
        signal: deadlineOf(response, options.requestDeadlineMs),
      });
      send(response, { status: 200, headers: json, body: `${JSON.stringify(answer)}\n` });
      const durationMs = performance.now() - startedAt;
      options.metrics.paymentSigned(sender, record.pipeline, record.num_tickets, durationMs / 1000);
      logger.info({ ...record, sender, duration_ms: durationMs }, 'payment signed');
    })
    .all(refuseMethod);

  app.use((_request, response) =>
    send(response, { status: 404, headers: plainText, body: '404 page not found\n' }),
  );

  const handleError: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const answer = answerError(error);
    send(response, answer);
    options.metrics.requestRefused(isSignerError(error) ? error.code : 'INTERNAL');
    logRefusal(logger, request, response, error, answer.status);
  };
  app.use(handleError);
  return app;
}

function send(response: Response, { status, headers, body }: Answer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  // a string would have node encode the headers as UTF-8 too, which are bytes already
  const bytes = Buffer.from(body);
  response.setHeader('Content-Length', bytes.length);
  response.end(bytes);
}

function refuseMethod(_request: Request, response: Response): void {
  const headers = { ...plainText, Allow: 'POST' };
  send(response, { status: 405, headers, body: 'Method Not Allowed\n' });
}

function bodyOf(request: Request): Uint8Array {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body : new Uint8Array();
}

function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

/** Aborts at the deadline, and when the client goes away before it has its answer. */
function deadlineOf(response: Response, deadlineMs: number): AbortSignal {
  const ended = new AbortController();
  const timer = setTimeout(() => {
    ended.abort(new DOMException("the request's deadline has passed", 'TimeoutError'));
  }, deadlineMs);
  response.once('close', () => {
    clearTimeout(timer);
    if (!response.writableEnded) ended.abort(new Error('the client has gone away'));
  });
  return ended.signal;
}

/** Reads the body as it is, whatever its type; a compressed one is refused. */
function readBody(limit: number): RequestHandler {
  const read: RequestHandler = express.raw({ type: () => true, limit, inflate: false });
  return (request, response, next) => {
    read(request, response, (error?: unknown) => {
      next(error === undefined ? undefined : translateBodyError(error, limit));
    });
  };
}

/** What the body reader throws is the caller's doing. */
function translateBodyError(cause: unknown, limit: number): RequestError {
  if (!(cause instanceof Error)) return new RequestError('BODY_MALFORMED', "request can't be read");
  return 'status' in cause && cause.status === 413
    ? new RequestError('BODY_TOO_LARGE', `request body is over ${limit} bytes`, { cause })
    : new RequestError('BODY_MALFORMED', `request can't be read: ${cause.message}`, { cause });
}

function logRefusal(
  logger: Logger,
  request: Request,
  response: Response,
  error: unknown,
  status: number,
): void {
  const fields = {
    request_id: requestIdOf(response),
    path: request.path,
    status,
    code: isSignerError(error) ? error.code : 'INTERNAL',
    reason: error instanceof Error ? error.message : 'unknown',
    details: isSignerError(error) ? error.details : undefined,
    cause: error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined,
  };
  if (status < 500) logger.info(fields, 'request refused');
  else if (isSignerError(error)) logger.error(fields, 'request failed');
  else
    logger.error({ ...fields, stack: error instanceof Error ? error.stack : undefined }, 'defect');
}

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  /** absolute paths of a PEM certificate (chain) and its key; undefined for plain HTTP */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly headersTimeoutMs: number;
  readonly receiveTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
};

export type HttpServer = {
  readonly url: string;
  /** Takes no new requests, lets those under way finish, and closes. */
  close(): Promise<void>;
};

/** How often Node looks for clients that have used up their time. */
const connectionsCheckingInterval = 500;

/**
 * Serves the app. Rejects when the address can't be listened on, and with `CONFIG_INVALID` when the certificate or its key
 * can't be used.
 */
export async function listen(app: express.Express, options: ListenOptions): Promise<HttpServer> {
  const settings = {
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.receiveTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval,
  };
  const { tls } = options;
  const server = tls
    ? https.createServer({ ...settings, ...readCertificate(tls) })
    : http.createServer(settings);
  const close = drainable(server, options.receiveTimeoutMs);
  server.on('request', app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(describeListenError(error)));
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return { url: `${tls ? 'https' : 'http'}://${host}:${port}`, close };
}

function describeListenError(error: NodeJS.ErrnoException): Error {
  if (error.code !== 'EADDRINUSE') return error;
  const message =
    'another program listens there; stop it, or choose another address with server.listen or --listen';
  return new Error(message, { cause: error });
}

function readCertificate(tls: NonNullable<ListenOptions['tls']>) {
  const pair = { cert: readPem('cert', tls.cert), key: readPem('key', tls.key) };
  try {
    createSecureContext(pair);
    // an EC key beside an RSA certificate would pass, and every handshake fail
    if (!new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key))) {
      throw new Error('they do not belong together');
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError(
      'CONFIG_INVALID',
      `server.tls: ${tls.cert} and ${tls.key} are no PEM certificate and its unencrypted key: ${reason}`,
      { cause },
    );
  }
  return pair;
}

function readPem(field: 'cert' | 'key', path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new ConfigError('CONFIG_INVALID', `server.tls.${field}: ${path} can't be read: ${code}`, {
      cause,
    });
  }
}

/**
 * Makes the server's closing orderly: requests under way are answered, their connections then closed. A body must have
 * arrived within `receiveTimeoutMs`, since Node itself stops looking at the time when it closes.
 */
function drainable(server: http.Server, receiveTimeoutMs: number): () => Promise<void> {
  const underWay = new Set<http.ServerResponse>();
  const sayGoodbye = (response: http.ServerResponse): void => {
    if (!response.headersSent) response.setHeader('Connection', 'close');
  };
  server.on('request', (_request, response: http.ServerResponse) => {
    underWay.add(response);
    if (!server.listening) sayGoodbye(response);
    response.once('close', () => {
      underWay.delete(response);
      if (!server.listening && underWay.size === 0) server.closeAllConnections();
    });
  });

  return async () => {
    const closed = new Promise<void>((resolve, reject) => {
      server.close((error) => (error ? reject(error) : resolve()));
    });
    underWay.forEach(sayGoodbye);
    if (underWay.size === 0) server.closeAllConnections();
    const cutOff = setTimeout(() => {
      for (const { req } of underWay) if (!req.complete) req.destroy();
    }, receiveTimeoutMs);
    await closed.finally(() => clearTimeout(cutOff));
  };
}
