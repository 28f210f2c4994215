import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type express from 'express';
import { type TlsFiles, readTlsFiles } from './tls.ts';

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  /** undefined for plain HTTP */
  readonly tls: TlsFiles | undefined;
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
    ? https.createServer({ ...settings, ...readTlsFiles(tls) })
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
