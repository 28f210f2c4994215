import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';

/** A TCP server that gives the same answer to whatever it is sent. */
export class AnsweringServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(answer: string) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('data', () => socket.write(answer)).on('error', () => socket.destroy());
    });
  }

  static async start(answer: string): Promise<AnsweringServer> {
    const started = new AnsweringServer(answer);
    started.#server.listen(0, '127.0.0.1');
    await once(started.#server, 'listening');
    return started;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
