import http from 'node:http';
import { Registry } from 'prom-client';
import { ConfigError } from '../errors.ts';

/**
 * Serves `read` at `GET /metrics` for as long as the process lives for something else. Throws `CONFIG_INVALID` when the
 * address can't be listened on.
 */
export async function serveMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  read: () => Promise<string>,
): Promise<void> {
  const server = http.createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    read().then(
      (text) =>
        response.writeHead(200, { 'Content-Type': Registry.PROMETHEUS_CONTENT_TYPE }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `metrics.listen: can't listen on ${host}:${port}: ${cause.message}`;
      reject(new ConfigError('CONFIG_INVALID', message, { cause }));
    });
    server.listen(port, host, resolve);
  });
  server.unref();
}
