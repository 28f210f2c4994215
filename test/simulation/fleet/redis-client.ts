import { EventEmitter } from 'node:events';
import type { RedisClient } from '../../../src/store/redis-client.ts';
import type { Draw } from './draw.ts';
import type { Kernel, Owner } from './kernel.ts';
import type { RedisServer, Reply } from './redis-server.ts';

type Pending = {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
};

/** The network between instances and Redis: whoever is the master now, and the connections to it. */
export class RedisNetwork {
  master: RedisServer;
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  readonly #connections = new Set<Connection>();

  constructor(kernel: Kernel, draw: Draw, master: RedisServer) {
    this.#kernel = kernel;
    this.#draw = draw;
    this.master = master;
  }

  /** A client of one connection, of the process that runs now. */
  readonly createClient = (): Promise<RedisClient> => {
    const { master } = this;
    const connection = new Connection(this.#kernel, this.#draw, () => this.master, master);
    this.#connections.add(connection);
    return Promise.resolve(connection as unknown as RedisClient);
  };

  /** Ends connections, of one process or of all; what was sent may have arrived or not. */
  cut(owner?: Owner): void {
    for (const connection of this.#connections) {
      if (owner && connection.owner !== owner) continue;
      this.#connections.delete(connection);
      connection.fail();
    }
  }
}

function networkError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Commands arrive, and replies return, in the order in which they were sent. */
class Connection extends EventEmitter {
  readonly owner: Owner;
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  readonly #findMaster: () => RedisServer;
  #server: RedisServer;
  #isOpen = false;
  #isDestroyed = false;
  #arrivesAtUs = 0;
  #returnsAtUs = 0;
  #lastWrite = 0;
  #isBlocked = false;
  readonly #arrived: { readonly command: readonly string[]; readonly pending: Pending }[] = [];
  readonly #pending = new Set<Pending>();

  constructor(kernel: Kernel, draw: Draw, findMaster: () => RedisServer, server: RedisServer) {
    super();
    this.owner = kernel.owner;
    this.#kernel = kernel;
    this.#draw = draw;
    this.#findMaster = findMaster;
    this.#server = server;
  }

  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#kernel.after(this.#latencyUs(), () => {
        this.#server = this.#findMaster();
        if (this.#isDestroyed || !this.#server.isUp) {
          reject(networkError('ECONNREFUSED'));
          return;
        }
        this.#isOpen = true;
        resolve();
        this.emit('ready');
      });
    });
  }

  sendCommand(command: readonly string[]): Promise<Reply> {
    if (!this.#isOpen || this.#isDestroyed)
      return Promise.reject(new Error('The client is closed'));
    return new Promise((resolve, reject) => {
      const pending = { resolve, reject };
      this.#pending.add(pending);
      const { nowUs, world } = this.#kernel;
      this.#arrivesAtUs = Math.max(this.#arrivesAtUs, nowUs + this.#latencyUs());
      const server = this.#server;
      const at = Math.max(this.#arrivesAtUs, server.frozenUntilUs);
      this.#kernel.after(
        at - nowUs,
        () => {
          if (!server.isUp) return;
          this.#arrived.push({ command, pending });
          this.#answerNext(server);
        },
        world,
      );
    });
  }

  destroy(): void {
    this.#isDestroyed = true;
    for (const { reject } of this.#pending) reject(new Error('The client is closed'));
    this.#pending.clear();
  }

  /** The connection breaks, which its process sees a little later. */
  fail(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#kernel.after(
      this.#latencyUs(),
      () => {
        const error = networkError('ECONNRESET');
        for (const { reject } of this.#pending) reject(error);
        this.#pending.clear();
        this.emit('error', error);
      },
      this.owner,
    );
  }

  #answerNext(server: RedisServer): void {
    if (this.#isBlocked) return;
    const next = this.#arrived.shift();
    if (!next) return;
    this.#isBlocked = true;
    const before = server.writes;
    server.run(next.command, this.#lastWrite, (reply) => {
      if (server.writes > before && next.command[0]?.startsWith('EVAL') === true) {
        this.#lastWrite = server.writes;
      }
      this.#isBlocked = false;
      this.#return(next.pending, reply);
      this.#answerNext(server);
    });
  }

  #return(pending: Pending, reply: Reply | Error): void {
    const { nowUs } = this.#kernel;
    this.#returnsAtUs = Math.max(this.#returnsAtUs, nowUs + this.#latencyUs());
    this.#kernel.after(
      this.#returnsAtUs - nowUs,
      () => {
        if (!this.#pending.delete(pending) || this.#isDestroyed) return;
        if (reply instanceof Error) pending.reject(reply);
        else pending.resolve(reply);
      },
      this.owner,
    );
  }

  #latencyUs(): number {
    return 50 + this.#draw.int(this.#draw.chance(0.03) ? 400_000 : 1_500);
  }
}
