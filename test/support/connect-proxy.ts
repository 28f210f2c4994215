import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** An HTTP proxy of this machine for HTTPS, which wants a user and a password. */
export class ConnectProxy {
  readonly user = 'signer';
  readonly password = 'p@ss word/1';
  /** `HOST:PORT` of every tunnel that was asked for with the right credentials. */
  readonly tunnels: string[] = [];
  refused = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    const expected = `Basic ${Buffer.from(`${this.user}:${this.password}`).toString('base64')}`;
    server.on('connect', (request, socket: Socket) => {
      this.#keep(socket);
      if (request.headers['proxy-authorization'] !== expected) {
        this.refused += 1;
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
        return;
      }
      this.tunnels.push(request.url ?? '');
      const port = Number(request.url?.split(':').at(-1));
      const upstream = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(socket);
        socket.pipe(upstream);
      });
      this.#keep(upstream);
    });
  }

  static async start(): Promise<ConnectProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ConnectProxy(server);
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** With user and password in it. */
  get url(): string {
    return `http://${this.user}:${encodeURIComponent(this.password)}@${this.host}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
