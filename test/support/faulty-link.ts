import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * `up` passes bytes on. `resetting` answers each connection with a reset, those that are open included. `down` is a machine
 * without the service: open connections are reset, new ones refused. `silent` is a gateway that forgets its connections:
 * whatever is sent on those that are open or opened vanishes, then and later.
 */
export type LinkState = 'up' | 'resetting' | 'down' | 'silent';

/** A TCP connection to a server of this machine, on a port that stays the same, which can be disturbed. */
export class FaultyLink {
  readonly port: number;
  /** Connections that were reset or forgotten. */
  cut = 0;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server;
  #state: LinkState = 'up';

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client: Socket) => this.#accept(client));
  }

  /** A link to port `target` of 127.0.0.1. */
  static async open(target: number): Promise<FaultyLink> {
    return new FaultyLink(await listen(0), target);
  }

  async set(state: LinkState): Promise<void> {
    if (state === 'silent') for (const socket of this.#sockets) this.#forget(socket);
    else if (state !== 'up') for (const socket of this.#sockets) this.#reset(socket);
    if (state === 'down' && this.#state !== 'down') await close(this.#server);
    if (state !== 'down' && this.#state === 'down') {
      this.#server = await listen(this.port);
      this.#server.on('connection', (client: Socket) => this.#accept(client));
    }
    this.#state = state;
  }

  close(): Promise<void> {
    return this.set('down');
  }

  #accept(client: Socket): void {
    if (this.#state === 'resetting') {
      client.on('error', () => undefined);
      this.#reset(client);
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
    if (this.#state === 'silent') this.#forget(client, server);
  }

  #forget(...sockets: Socket[]): void {
    this.cut += 1;
    for (const socket of sockets) socket.unpipe().resume();
  }

  #reset(socket: Socket): void {
    this.cut += 1;
    socket.resetAndDestroy();
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}
