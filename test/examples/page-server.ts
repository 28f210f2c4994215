import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { root } from '../cli/cli.ts';

export type PageServerOptions = {
  /** the client's folder of ES modules */
  readonly client: string;
  readonly settings: () => { readonly signerUrl: string; readonly runnerUrl: string };
  readonly token: () => string;
};

/** The server that the example page is for: the page and the client, a short-lived token, and a way to runners. */
export async function startPageServer(
  options: PageServerOptions,
): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((incoming, response) => serve(options, incoming, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function serve(
  { client, settings, token }: PageServerOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
): void {
  const { pathname, searchParams } = new URL(incoming.url ?? '', 'http://page');
  const script = /^\/livepeer-remote-signer-client\/(.+\.js)$/.exec(pathname)?.[1];
  if (pathname === '/') {
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end(readFileSync(join(root, 'examples/browser/index.html')));
  } else if (script !== undefined) {
    response.writeHead(200, { 'Content-Type': 'text/javascript' });
    response.end(readFileSync(join(client, normalize(script))));
  } else if (pathname === '/settings.json') response.end(JSON.stringify(settings()));
  else if (pathname === '/token') response.end(token());
  else if (pathname === '/relay') relay(searchParams.get('to') ?? '', incoming, response);
  else response.writeHead(404).end();
}

function relay(to: string, incoming: IncomingMessage, response: ServerResponse): void {
  const headers = { ...incoming.headers };
  delete headers.host;
  delete headers.origin;
  const options = { method: incoming.method, headers, rejectUnauthorized: false };
  const outgoing = request(to, options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on('error', () => response.destroy());
  incoming.pipe(outgoing);
}
