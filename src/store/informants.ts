import {
  type CreateClient,
  type HostAndPort,
  type RedisClient,
  type RedisLogin,
  type RedisTls,
  addressOf,
} from './redis-client.ts';
import { RedisFailure } from './redis-failure.ts';

/** The time for everything that is asked of one server, connecting included. */
const askTimeoutMs = 1_000;

export type InformantsOptions = {
  readonly login: RedisLogin | undefined;
  /** Read for each connection. */
  readonly tls: () => RedisTls | undefined;
  readonly createClient: CreateClient;
};

/** Servers that are asked again and again, over one connection each, which is made when it is needed. */
export class Informants {
  readonly #options: InformantsOptions;
  readonly #lines = new Map<string, Line>();
  #isClosed = false;

  constructor(options: InformantsOptions) {
    this.#options = options;
  }

  /** The replies to all commands. Rejects when one of them is an error, or when they have not come within a second. */
  async ask(at: HostAndPort, commands: readonly string[][]): Promise<readonly unknown[]> {
    if (this.#isClosed) throw new RedisFailure('nobody is asked any more');
    const address = addressOf(at);
    return (this.#lines.get(address) ?? this.#open(at)).ask(commands);
  }

  /** Questions under way fail, and so do later ones. */
  close(): void {
    this.#isClosed = true;
    for (const line of this.#lines.values()) line.end(new RedisFailure('nobody is asked any more'));
  }

  #open(at: HostAndPort): Line {
    const { login, tls, createClient } = this.#options;
    const address = addressOf(at);
    const line = new Line(createClient({ at, login, tls: tls() }), () =>
      this.#lines.delete(address),
    );
    this.#lines.set(address, line);
    return line;
  }
}

/** One connection; it ends when an answer does not come in time. */
class Line {
  readonly #made: Promise<RedisClient>;
  readonly #onEnd: () => void;
  readonly #failUnderWay = new Set<(error: unknown) => void>();
  #connected: Promise<unknown> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(made: Promise<RedisClient>, onEnd: () => void) {
    this.#made = made;
    this.#onEnd = onEnd;
    made.catch((error: unknown) => this.end(error));
  }

  async ask(commands: readonly string[][]): Promise<readonly unknown[]> {
    const client = await this.#made;
    if (this.#failure) throw this.#failure.error;
    this.#connected ??= this.#connect(client);
    const answered = this.#connected.then(() =>
      Promise.all(commands.map((command) => client.sendCommand(command))),
    );
    return this.#inTime(answered);
  }

  end(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    this.#onEnd();
    this.#made.then((client) => client.destroy()).catch(() => undefined);
    // the library does not report the end of a connection that was never made
    for (const fail of this.#failUnderWay) fail(error);
  }

  #connect(client: RedisClient): Promise<unknown> {
    client.on('error', (error: unknown) => this.end(error));
    const connected = client.connect();
    connected.catch((error: unknown) => this.end(error));
    return connected;
  }

  #inTime<Answer>(answered: Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#failUnderWay.add(reject);
      const timer = setTimeout(() => this.end(new RedisFailure('no answer')), askTimeoutMs);
      void answered.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        this.#failUnderWay.delete(reject);
      });
    });
  }
}
