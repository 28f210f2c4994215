import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the service does with each request. */
type Mode = 'answer' | 'hang' | 'hang in the body' | 'fail' | 'throttle' | 'forbid' | 'disconnect';

const statuses: Partial<Record<Mode, number>> = { fail: 500, throttle: 429, forbid: 403 };

/** A service of this machine that gives credentials or tokens, as containers and metadata servers do; it can be told to misbehave. */
export class CredentialService {
  mode: Mode = 'answer';
  requests = 0;
  #failures = 0;
  readonly #server: Server;

  private constructor(server: Server, body: () => string, contentType: string) {
    this.#server = server;
    server.on('request', (request, response) => {
      this.requests += 1;
      const fails = this.#failures > 0;
      if (fails) this.#failures -= 1;
      const failure = fails ? 500 : statuses[this.mode];
      if (failure !== undefined) {
        response.writeHead(failure).end('not now');
        return;
      }
      if (this.mode === 'disconnect') {
        request.socket.destroy();
        return;
      }
      if (this.mode === 'hang') return;
      response.writeHead(200, { 'content-type': contentType, 'metadata-flavor': 'Google' });
      if (this.mode === 'hang in the body') response.write(' ');
      else response.end(body());
    });
  }

  static async start(
    body: () => string,
    contentType = 'application/json',
  ): Promise<CredentialService> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CredentialService(server, body, contentType);
  }

  /** The next requests fail, whatever the mode. */
  failNext(times: number): void {
    this.#failures = times;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
