import { once } from 'node:events';
import { type Socket, connect } from 'node:net';

export type Reply = { readonly status: number; readonly text: string };

const headerEnd = Buffer.from('\r\n\r\n');

/**
 * One keep-alive connection that has one POST under way at a time. A raw socket: a load that shares the machine with what it
 * loads must cost next to nothing.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #head: string;
  #received: Buffer = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Reply> | undefined;

  private constructor(socket: Socket, head: string) {
    this.#socket = socket;
    this.#head = head;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the server ended the connection')));
  }

  static async open(url: string, apiKey?: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const credential = apiKey === undefined ? '' : `X-Api-Key: ${apiKey}\r\n`;
    return new Connection(socket, `Host: ${host}\r\n${credential}`);
  }

  post(path: string, body: string): Promise<Reply> {
    this.#waiting = Promise.withResolvers<Reply>();
    if (this.#socket.destroyed) this.#waiting.reject(new Error('the connection has ended'));
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\n${this.#head}Content-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    return this.#waiting.promise;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf(headerEnd);
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? NaN);
    const bodyStart = end + headerEnd.length;
    if (this.#received.length < bodyStart + length) return;
    const text = this.#received.toString('utf8', bodyStart);
    const status = Number(head.slice(9, 12));
    this.#received = Buffer.alloc(0);
    this.#waiting?.resolve({ status, text });
  }
}
