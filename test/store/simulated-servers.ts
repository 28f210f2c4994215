import { EventEmitter } from 'node:events';
import type { CreateClient, RedisClient } from '../../src/store/redis-client.ts';

/** `frozen` lets connect and answers nothing: on none of the connections that it had meanwhile, also later; `down` refuses connections. */
export type Condition = 'up' | 'frozen' | 'down';

/** One server: what it answers to a command, its name first. */
export type SimulatedServer = {
  condition: Condition;
  readonly answer: (command: readonly string[]) => unknown;
};

/** The clients of servers at ports, which take no time of their own: all the time that passes is what the one who asks waits. */
export class SimulatedServers {
  readonly #servers: ReadonlyMap<number, SimulatedServer>;
  readonly #clients = new Set<SimulatedClient>();

  constructor(servers: ReadonlyMap<number, SimulatedServer>) {
    this.#servers = servers;
  }

  readonly createClient: CreateClient = ({ at }) => {
    const port = 'port' in at ? at.port : Number(new URL(at.url).port);
    const server = this.#servers.get(port);
    if (!server) throw new Error('there is no such server');
    const client = new SimulatedClient(server);
    this.#clients.add(client);
    return Promise.resolve(client as unknown as RedisClient);
  };

  /** Its connections break when it goes down, and stay when it freezes. */
  set(port: number, condition: Condition): void {
    const server = this.#servers.get(port);
    if (!server) throw new Error('there is no such server');
    server.condition = condition;
    for (const client of this.#clients) if (client.server === server) client.note(condition);
  }
}

class SimulatedClient extends EventEmitter {
  readonly server: SimulatedServer;
  #isOpen = false;
  #isForgotten = false;
  readonly #fail = new Set<(error: Error) => void>();

  constructor(server: SimulatedServer) {
    super();
    this.server = server;
  }

  connect(): Promise<unknown> {
    if (this.server.condition === 'frozen') return new Promise(() => undefined);
    if (this.server.condition === 'down') return Promise.reject(networkError('ECONNREFUSED'));
    this.#isOpen = true;
    queueMicrotask(() => this.emit('ready'));
    return Promise.resolve();
  }

  sendCommand(command: readonly string[]): Promise<unknown> {
    if (!this.#isOpen) return Promise.reject(new Error('The client is closed'));
    if (this.server.condition === 'up' && !this.#isForgotten) {
      return Promise.resolve().then(() => this.server.answer(command));
    }
    return new Promise((_, reject) => this.#fail.add(reject));
  }

  destroy(): void {
    this.#isOpen = false;
    for (const fail of this.#fail) fail(new Error('Disconnects client'));
    this.#fail.clear();
  }

  note(condition: Condition): void {
    if (condition === 'frozen') this.#isForgotten = true;
    if (condition !== 'down' || !this.#isOpen) return;
    this.destroy();
    this.emit('error', networkError('ECONNRESET'));
  }
}

function networkError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
