import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type * as RedisModule from '@redis/client';
import { ConfigError } from '../errors.ts';
import { nameOf } from '../foreign-error.ts';
import { type ScriptRunner, isRefusal } from '../script-runner.ts';
import type { Secret } from '../secret.ts';

/** Scripts reject when Redis is not connected, answers with an error, or has not answered after a second. */
export type Redis = ScriptRunner & {
  /** Scripts under way fail. */
  close(): Promise<void>;
};

export type RedisOptions = {
  /** redis:// or rediss://, with user name and password where Redis wants them */
  readonly url: Secret | string;
  readonly log: (level: 'info' | 'warn', message: string, fields?: object) => void;
};

/** For a script's answer. */
const answerTimeoutMs = 1_000;
/** A connection on which nothing at all is answered for so long is given up. */
const silenceLimitMs = 3_000;
const connectTimeoutMs = 3_000;
/** Between two attempts to connect; it doubles up to the second one. */
const pauseMs = { first: 50, longest: 1_000 };
/** Scripts that may wait for their answers. */
const maxWaiting = 10_000;

/**
 * Connects to one Redis server, and again whenever the connection ends; meanwhile scripts fail at once. Resolves after the first
 * attempt, whether it succeeds or not. Throws `CONFIG_INVALID`.
 */
export async function connectRedis({ url, log }: RedisOptions): Promise<Redis> {
  const target = typeof url === 'string' ? url : url.reveal();
  if (!/^rediss?:$/.test(URL.parse(target)?.protocol ?? '')) {
    throw new ConfigError(
      'CONFIG_INVALID',
      'store.url is no URL such as redis://HOST:PORT or rediss://USER:PASSWORD@HOST:PORT',
    );
  }
  const { createClient } = await import('@redis/client');
  const closing = new AbortController();
  const firstAttempt = Promise.withResolvers<undefined>();
  let latest: Connection | undefined;
  let isKnownDown = false;
  /** what it refused with, until it does what it is asked for, or does not let in any more */
  let refusal: RedisFailure | undefined;

  function noteRefusal(error: unknown): void {
    const failure = describeFailure(error);
    if (isRefusal(failure.message)) refusal = failure;
  }

  function reportDown(error: unknown): void {
    if (isKnownDown || closing.signal.aborted) return;
    isKnownDown = true;
    log('warn', 'Redis can’t be reached', { reason: describeFailure(error).message });
  }

  async function keepConnected(): Promise<void> {
    let pause = pauseMs.first;
    while (!closing.signal.aborted) {
      latest = new Connection(createClient, target, noteRefusal);
      try {
        await latest.open();
        log('info', 'connected to Redis');
        pause = pauseMs.first;
        isKnownDown = false;
        firstAttempt.resolve(undefined);
        await latest.ended;
      } catch (error) {
        // at the start it is refused; later, as after a fail-over, it is no better than none
        if (error instanceof ConfigError) {
          firstAttempt.reject(error);
          latest.end();
        }
        if (!latest.wasOpened) refusal = undefined;
        noteRefusal(error);
        reportDown(error);
      }
      firstAttempt.resolve(undefined);
      await sleep(pause, undefined, { signal: closing.signal }).catch(() => undefined);
      pause = Math.min(pause * 2, pauseMs.longest);
    }
  }

  const kept = keepConnected();
  await firstAttempt.promise.catch(async (error: unknown) => {
    closing.abort();
    await kept;
    throw error;
  });
  return {
    async run(script, keys, args, onLate) {
      if (!latest?.isOpen) throw refusal ?? new RedisFailure('there is no connection to Redis');
      try {
        const reply = await latest.run(script, keys, args, onLate);
        refusal = undefined;
        return reply;
      } catch (error) {
        throw refusal ?? error;
      }
    },
    async close() {
      closing.abort();
      latest?.end();
      await kept;
    },
  };
}

/** One connection, from its making to its end. Nothing is sent twice, and nothing waits for another connection. */
class Connection {
  readonly #client: ReturnType<typeof RedisModule.createClient>;
  readonly #ended = Promise.withResolvers<never>();
  readonly #onFailure: (error: unknown) => void;
  #wasOpened = false;
  #hasEnded = false;
  #waiting = 0;
  #silentSinceMs = 0;

  constructor(
    createClient: typeof RedisModule.createClient,
    url: string,
    onFailure: (error: unknown) => void,
  ) {
    this.#onFailure = onFailure;
    this.#client = createClient({
      url,
      RESP: 2,
      maintNotifications: 'disabled',
      disableClientInfo: true,
      disableOfflineQueue: true,
      commandsQueueMaxLength: maxWaiting,
      commandOptions: { timeout: 0 },
      socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: false },
    });
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

  /** Rejects with the reason once the connection is not to be used any more. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  end(reason = 'the connection to Redis was closed'): void {
    this.#ended.reject(new RedisFailure(reason));
  }

  /** Rejects as `ended` does. */
  async open(): Promise<void> {
    const reason = `Redis did not let in within ${connectTimeoutMs} ms`;
    const timer = setTimeout(() => this.end(reason), connectTimeoutMs);
    this.#client.connect().catch((error: unknown) => this.#ended.reject(error));
    const ready = new Promise((resolve) => this.#client.once('ready', resolve));
    const keepsAll = ready.then(() => this.#requireNoEviction());
    keepsAll.catch(() => undefined);
    await Promise.race([keepsAll, this.ended]).finally(() => clearTimeout(timer));
    this.#wasOpened = true;
  }

  /**
   * What was spent is kept in keys that expire, which both kinds of eviction take first when memory runs out. Where the account may not
   * ask, the operator is trusted. Throws `CONFIG_INVALID`.
   */
  async #requireNoEviction(): Promise<void> {
    const info: unknown = await this.#client.sendCommand(['INFO', 'memory']).catch(() => '');
    const [, policy = 'noeviction'] = /^maxmemory_policy:(\S+)/m.exec(String(info)) ?? [];
    if (policy === 'noeviction') return;
    throw new ConfigError(
      'CONFIG_INVALID',
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
      // an answer that came while this process was busy is read first
      const timer = setTimeout(() => setImmediate(giveUp), answerTimeoutMs);
      const rest = [`${keys.length}`, ...keys, ...args];
      this.#send(['EVALSHA', hashOf(script), ...rest])
        .catch((error: unknown) => {
          if (isLate || !startsWith(error, 'NOSCRIPT')) throw error;
          return this.#send(['EVAL', script, ...rest]);
        })
        .then(
          (reply) => (isLate ? onLate?.(reply) : resolve(reply)),
          (error: unknown) => reject(describeFailure(error)),
        )
        .finally(() => {
          isAnswered = true;
          clearTimeout(timer);
        });
    });
  }

  async #send(command: string[]): Promise<unknown> {
    if (this.#waiting === 0) this.#silentSinceMs = performance.now();
    this.#waiting += 1;
    try {
      return await this.#client.sendCommand(command);
    } catch (error) {
      if (!startsWith(error, 'NOSCRIPT')) this.#onFailure(error);
      // the server became a replica: its name may lead to another one by now
      if (startsWith(error, 'READONLY')) this.#ended.reject(error);
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

/** In this program's own words. */
class RedisFailure extends Error {}

/**
 * Of an answer of Redis only the code at its beginning is told, of other errors their code: some repeat the command, and with it
 * the password (`unknown command 'AUTH', with args beginning with …`).
 */
function describeFailure(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  if (error instanceof ConfigError) return new RedisFailure('Redis answered that it evicts');
  const { message, code } = error as NodeJS.ErrnoException;
  const answered = code === undefined ? /^[A-Z]{3,}(?= |$)/.exec(message)?.[0] : undefined;
  return new RedisFailure(
    answered === undefined ? `it failed with ${nameOf(error)}` : `Redis answered ${answered}`,
  );
}

function startsWith(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const known = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, known);
  return known;
}
