import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import type express from 'express';
import { type TlsFiles, readTlsFiles, trustIssuingCa } from './tls.ts';

export type ListenOptions = {
  /** how messages name the address: `server.listen or --listen` */
  readonly setting: string;
  readonly host: string;
  readonly port: number;
  /** undefined for plain HTTP */
  readonly tls: TlsFiles | undefined;
  readonly headersTimeoutMs: number;
  readonly receiveTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** how long an answer may take, counted from the request's head; a stop waits for it as long */
  readonly answerTimeoutMs: number;
  /** how many connections without a request are kept; when there are more, the one idle for longest is closed */
  readonly maxIdleConnections: number;
};

export type HttpServer = {
  readonly url: string;
  /** Uses a renewed certificate for connections from now on. Does nothing without TLS. */
  renewTls(options: TlsOptions): void;
  /** Makes every answer from now on ask its client to close the connection. Requests are still served. */
  sayGoodbye(): void;
  /** Accepts no new requests, lets those under way finish, and closes. */
  close(): Promise<void>;
};

/** How often Node checks for clients that have used up their time. */
const connectionsCheckingInterval = 500;

/**
 * Serves the app. Rejects when the address can't be listened on, and with `CONFIG_INVALID` when the certificate or its key can't
 * be used.
 */
export async function listen(app: express.Express, options: ListenOptions): Promise<HttpServer> {
  const settings = {
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.receiveTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval,
  };
  const { tls } = options;
  const secure = tls
    ? https.createServer({
        ...settings,
        handshakeTimeout: options.headersTimeoutMs,
        ...readTlsFiles(tls),
      })
    : undefined;
  if (secure) trustIssuingCa(secure);
  const server = secure ?? http.createServer(settings);
  boundIdleConnections(server, options.maxIdleConnections);
  const { sayGoodbye, close } = drainable(server, options);
  server.on('request', app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(describeListenError(error, options.setting)),
    );
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `${tls ? 'https' : 'http'}://${host}:${port}`,
    renewTls(renewed) {
      secure?.setSecureContext(renewed);
      if (secure) trustIssuingCa(secure);
    },
    sayGoodbye,
    close,
  };
}

function describeListenError(error: NodeJS.ErrnoException, setting: string): Error {
  if (error.code !== 'EADDRINUSE') return error;
  const message = `another program listens there; stop it, or choose another address with ${setting}`;
  return new Error(message, { cause: error });
}

/** Closes the connection that has been idle for longest when there are more than `maximum`; one without a request is idle. */
function boundIdleConnections(server: http.Server, maximum: number): void {
  /** by the client's address, the one idle for longest first */
  const idle = new Map<string, Socket>();
  const underWay = new WeakMap<Socket, number>();

  function add(name: string, socket: Socket): void {
    idle.delete(name);
    idle.set(name, socket);
    if (idle.size <= maximum) return;
    for (const [oldest, connection] of idle) {
      idle.delete(oldest);
      connection.destroySoon();
      return;
    }
  }

  const take = (socket: Socket): void => {
    const name = nameOf(socket);
    // over TLS the same connection is reported twice: as TCP's, and after the handshake
    add(name, socket);
    socket.once('close', () => {
      if (idle.get(name) === socket) idle.delete(name);
    });
  };
  server.on('connection', take).on('secureConnection', take);
  server.on('request', ({ socket }: http.IncomingMessage, response: http.ServerResponse) => {
    const name = nameOf(socket);
    idle.delete(name);
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const others = (underWay.get(socket) ?? 1) - 1;
      underWay.set(socket, others);
      if (others === 0 && !socket.destroyed) add(name, socket);
    });
  });
}

function nameOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** How long a client may take, during a stop, for the rest of a TLS handshake, or of a request line and headers. */
const halfRequestMs = 500;
/** How long a client may take, during a stop, to receive an answer that came at the last moment. */
const lastAnswerMs = 1_000;

/**
 * Makes the server's closing orderly: requests under way are answered, and their connections then closed. A request must have
 * arrived, and an answer been received, within `receiveTimeoutMs`; that is enforced here, since Node no longer checks such times
 * once it is closing.
 */
function drainable(
  server: http.Server,
  { receiveTimeoutMs, answerTimeoutMs }: ListenOptions,
): Pick<HttpServer, 'sayGoodbye' | 'close'> {
  const underWay = new Set<http.ServerResponse>();
  /** the TCP sockets, since Node does not list connections that have not finished their TLS handshake */
  const sockets = new Set<Socket>();
  let isLeaving = false;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const askToClose = (response: http.ServerResponse): void => {
    if (!response.headersSent) response.setHeader('Connection', 'close');
  };
  server.prependListener('request', (_request, response: http.ServerResponse) => {
    underWay.add(response);
    if (isLeaving) askToClose(response);
    response.once('close', () => {
      underWay.delete(response);
      if (!server.listening) closeUnused();
    });
  });

  function closeAll(): void {
    for (const socket of sockets) socket.destroy();
  }

  /**
   * Closes connections on which nothing is under way. Half a handshake or half a request may still be completed; nothing else is
   * waited for.
   */
  function closeUnused(): void {
    server.closeIdleConnections();
    if (underWay.size > 0) return;
    setTimeout(() => {
      if (underWay.size === 0) closeAll();
    }, halfRequestMs).unref();
  }

  function cutOffLate(): void {
    for (const { req, writableEnded } of underWay) {
      if (!req.complete || writableEnded) req.socket.destroy();
    }
  }

  function sayGoodbye(): void {
    isLeaving = true;
    underWay.forEach(askToClose);
  }

  async function close(): Promise<void> {
    sayGoodbye();
    // a connection that is being made right now is accepted first
    await new Promise((resolve) => setImmediate(resolve));
    const closed = new Promise<void>((resolve, reject) => {
      server.close((error) => (error ? reject(error) : resolve()));
    });
    closeUnused();
    const longestMs = Math.max(receiveTimeoutMs, answerTimeoutMs + lastAnswerMs);
    const timers = [setTimeout(cutOffLate, receiveTimeoutMs), setTimeout(closeAll, longestMs)];
    await closed.finally(() => timers.forEach(clearTimeout));
  }

  return { sayGoodbye, close };
}
