import { createHash } from 'node:crypto';
import type { UnderWay } from '../under-way.ts';
import { type Acknowledge, AcknowledgedWrites } from './acknowledged-writes.ts';
import { type RedisClient, connectTimeoutMs } from './redis-client.ts';
import {
  NotAcknowledged,
  RedisFailure,
  UnfitRedis,
  describeFailure,
  startsWith,
} from './redis-failure.ts';

/** The time for a script's answer, its acknowledgement included. */
const answerTimeoutMs = 1_000;
/** A connection is given up when nothing at all was answered on it for this long. */
export const silenceLimitMs = 3_000;

export type ConnectionOptions = {
  readonly acknowledge: Acknowledge;
  /** Whether the connection is given up when its server is not a master. */
  readonly needsMaster: boolean;
  /** Called with the error that a command was answered with. */
  readonly onFailure: (error: unknown) => void;
  /** Holds each script until its answer has come and was reported, or can't come any more. */
  readonly underWay: UnderWay;
};

/** One connection, from its making to its end. Nothing is sent twice, and nothing waits for another connection. */
export class Connection {
  readonly #client: RedisClient;
  readonly #options: ConnectionOptions;
  readonly #writes: AcknowledgedWrites | undefined;
  readonly #ended = Promise.withResolvers<never>();
  #wasOpened = false;
  #hasEnded = false;
  #waiting = 0;
  #silentSinceMs = 0;

  constructor(client: RedisClient, options: ConnectionOptions) {
    this.#client = client;
    this.#options = options;
    if (options.acknowledge !== 'none') {
      this.#writes = new AcknowledgedWrites(this.#send.bind(this), options.acknowledge);
    }
    this.#ended.promise.catch(() => {
      this.#hasEnded = true;
      this.#client.destroy();
    });
    this.#client.on('error', (error: unknown) => this.#ended.reject(error));
  }

  get wasOpened(): boolean {
    return this.#wasOpened;
  }

  get isOpen(): boolean {
    return this.#wasOpened && !this.#hasEnded;
  }

  /** Never resolves; rejects with the reason once the connection is not to be used any more. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  end(reason = 'the connection to Redis was closed'): void {
    this.#ended.reject(new RedisFailure(reason));
  }

  /** Rejects as `ended` does, and with `CONFIG_INVALID`. */
  async open(): Promise<void> {
    const reason = `Redis did not let in within ${connectTimeoutMs} ms`;
    const timer = setTimeout(() => this.end(reason), connectTimeoutMs);
    this.#client.connect().catch((error: unknown) => this.#ended.reject(error));
    const ready = new Promise((resolve) => this.#client.once('ready', resolve));
    const isFit = ready.then(() => this.#requireFitness());
    isFit.catch(() => undefined);
    await Promise.race([isFit, this.ended]).finally(() => clearTimeout(timer));
    this.#wasOpened = true;
  }

  async #requireFitness(): Promise<void> {
    if (this.#options.needsMaster) await this.#requireMaster();
    await this.#requireNoEviction();
    await this.#writes?.probe().catch(refuseWithoutAcknowledgement);
  }

  async #requireMaster(): Promise<void> {
    const role: unknown = await this.#client.sendCommand(['ROLE']);
    if (Array.isArray(role) && role[0] === 'master') return;
    throw new RedisFailure('the server that is named as the master is none yet');
  }

  /**
   * Refuses a server that evicts keys: what was spent is kept in keys that expire, which both kinds of eviction policy remove
   * first when memory runs out. Where the account may not ask for the policy, the operator is trusted. Throws `CONFIG_INVALID`.
   */
  async #requireNoEviction(): Promise<void> {
    const info: unknown = await this.#client.sendCommand(['INFO', 'memory']).catch(() => '');
    const [, policy = 'noeviction'] = /^maxmemory_policy:(\S+)/m.exec(String(info)) ?? [];
    if (policy === 'noeviction') return;
    throw new UnfitRedis(
      'it evicts',
      `store.url: this Redis forgets what was spent when its memory runs out (maxmemory-policy is ${policy}): ` +
        'set it to noeviction, or use another Redis',
    );
  }

  run(
    script: string,
    keys: readonly string[],
    args: readonly string[],
    onLate?: (reply: unknown) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let isAnswered = false;
      let isLate = false;
      const giveUp = (): void => {
        if (isAnswered) return;
        isLate = true;
        reject(new RedisFailure(`no answer from Redis within ${answerTimeoutMs} ms`));
        this.#endIfSilent();
      };
      // an answer that arrived while this process was busy is read first
      const timer = setTimeout(() => setImmediate(giveUp), answerTimeoutMs);
      const rest = [`${keys.length}`, ...keys, ...args];
      const send = (command: string[]): Promise<unknown> =>
        this.#writes ? this.#writes.send(command) : this.#send(command);
      const answered = send(['EVALSHA', hashOf(script), ...rest])
        .catch((error: unknown) => {
          if (isLate || !startsWith(error, 'NOSCRIPT')) throw error;
          return send(['EVAL', script, ...rest]);
        })
        .then(
          (reply) => (isLate ? onLate?.(reply) : resolve(reply)),
          (error: unknown) => {
            if (error instanceof NotAcknowledged) onLate?.(error.reply);
            reject(describeFailure(error));
          },
        )
        .finally(() => {
          isAnswered = true;
          clearTimeout(timer);
        });
      void this.#options.underWay.add(answered);
    });
  }

  async #send(command: string[]): Promise<unknown> {
    if (this.#waiting === 0) this.#silentSinceMs = performance.now();
    this.#waiting += 1;
    try {
      return await this.#client.sendCommand(command);
    } catch (error) {
      if (!startsWith(error, 'NOSCRIPT')) this.#options.onFailure(error);
      // it is no longer the master of these keys; the next connection asks which server is
      if (startsWith(error, 'READONLY') || startsWith(error, 'MOVED')) this.#ended.reject(error);
      throw error;
    } finally {
      this.#waiting -= 1;
      this.#silentSinceMs = performance.now();
    }
  }

  #endIfSilent(): void {
    if (performance.now() - this.#silentSinceMs < silenceLimitMs) return;
    this.end(`Redis has not answered for ${silenceLimitMs} ms`);
  }
}

/** Throws `CONFIG_INVALID` for a server that can't acknowledge at all, and otherwise the error itself. */
function refuseWithoutAcknowledgement(error: unknown): never {
  const means = error instanceof Error ? error.message : '';
  if (/^ERR unknown command|^ERR .*appendonly|^NOPERM/.test(means)) {
    throw new UnfitRedis(
      'it does not acknowledge',
      'store.acknowledge: this Redis does not acknowledge: `aof` needs Redis 7.2 with appendonly yes and the right to WAITAOF, `replicas` the right to WAIT',
    );
  }
  throw error;
}

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const known = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, known);
  return known;
}
