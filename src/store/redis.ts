import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '../errors.ts';
import { type ScriptRunner, isRefusal } from './script-runner.ts';
import type { Secret } from '../secret.ts';
import { UnderWay } from '../under-way.ts';
import type { Acknowledge } from './acknowledged-writes.ts';
import { type MasterFinder, findBySentinel, findInCluster } from './find-master.ts';
import {
  type CreateClient,
  type HostAndPort,
  type RedisEndpoint,
  type RedisLogin,
  type RedisTls,
  addressOf,
  createSingleClient,
} from './redis-client.ts';
import { Connection, silenceLimitMs } from './redis-connection.ts';
import { RedisFailure, describeFailure } from './redis-failure.ts';

/**
 * Scripts reject when Redis is not connected, when it answers with an error or not within a second, and when their writes are not
 * acknowledged as they must be.
 */
export type Redis = ScriptRunner & {
  /**
   * Waits for outstanding answers, for 3 s at most: a caller that gave up waiting still undoes what a late answer reports.
   * Scripts that are under way after that fail.
   */
  close(): Promise<void>;
};

/** Where the server is, or who knows. */
export type RedisServers =
  /** redis:// or rediss://, with user name and password where Redis requires them */
  | { readonly url: Secret | string }
  | {
      readonly sentinel: {
        readonly master: string;
        readonly nodes: readonly HostAndPort[];
        /** for the sentinels themselves */
        readonly login?: RedisLogin | undefined;
      };
    }
  | {
      readonly cluster: {
        readonly nodes: readonly HostAndPort[];
        /** the prefix of all keys, with their hash tag */
        readonly keyPrefix: string;
      };
    };

/** The servers, and how to log in to them. */
export type RedisAccess = RedisServers & {
  readonly login?: RedisLogin | undefined;
  /**
   * Called for each connection, so that renewed certificates are taken up. undefined means no settings; a rediss:// URL uses TLS
   * all the same.
   */
  readonly readTls?: (() => RedisTls | undefined) | undefined;
  /** What must have a script's writes before they count; by default only the server's memory. */
  readonly acknowledge?: Acknowledge | undefined;
};

export type RedisOptions = RedisAccess & {
  readonly log: (level: 'info' | 'warn', message: string, fields?: object) => void;
  /** makes each connection; by default the client library */
  readonly createClient?: CreateClient;
};

/** The pause between two attempts to connect; it doubles from the first to the longest. */
const pauseMs = { first: 50, longest: 250 };
/** How often the master is asked for while there is a connection to one. */
const watchIntervalMs = 250;

/**
 * Connects to the one Redis server that has the keys, and again whenever the connection ends or another server becomes the
 * master; until then scripts fail at once. Resolves after the first attempt, whether it succeeds or not. Throws `CONFIG_INVALID`.
 */
export async function connectRedis(options: RedisOptions): Promise<Redis> {
  const { log, acknowledge = 'none', createClient = createSingleClient } = options;
  const finder = chooseFinder(options, createClient);
  const readEndpoint = chooseEndpoint(options, finder);
  const closing = new AbortController();
  const underWay = new UnderWay();
  const firstAttempt = Promise.withResolvers<undefined>();
  let latest: Connection | undefined;
  let isKnownDown = false;
  /**
   * The last refusal of a script or a login; forgotten once a script succeeds on a connection that stays, or once Redis can't be
   * reached any more.
   */
  let refusal: RedisFailure | undefined;

  function noteRefusal(error: unknown): void {
    const failure = describeFailure(error);
    if (isRefusal(failure.message)) refusal = failure;
  }

  function reportDown(error: unknown): void {
    if (isKnownDown || closing.signal.aborted) return;
    isKnownDown = true;
    log('warn', "Redis can't be reached", { reason: describeFailure(error).message });
  }

  async function connectOnce(onOpen: () => void): Promise<never> {
    const endpoint = await readEndpoint();
    const needsMaster = finder !== undefined;
    const connection = new Connection(await createClient(endpoint), {
      acknowledge,
      needsMaster,
      onFailure: noteRefusal,
      underWay,
    });
    latest = connection;
    if (closing.signal.aborted) connection.end();
    if (finder && 'host' in endpoint.at) watchMaster(finder, endpoint.at, connection);
    try {
      await connection.open();
      onOpen();
      return await connection.ended;
    } catch (error) {
      connection.end();
      throw error;
    }
  }

  async function keepConnected(): Promise<void> {
    let pause = pauseMs.first;
    while (!closing.signal.aborted) {
      try {
        await connectOnce(() => {
          log('info', 'connected to Redis');
          pause = pauseMs.first;
          isKnownDown = false;
          firstAttempt.resolve(undefined);
        });
      } catch (error) {
        // at the start an unfit server is an error of the configuration; later, as after a fail-over, it counts as no server
        if (error instanceof ConfigError) firstAttempt.reject(error);
        // a network error has a code, and ends the refusal; a mere time-out does not: a server that is only slow may still be
        // full, or a replica
        if (!latest?.wasOpened && (error as NodeJS.ErrnoException).code) refusal = undefined;
        noteRefusal(error);
        reportDown(error);
      }
      firstAttempt.resolve(undefined);
      await sleep(pause, undefined, { signal: closing.signal }).catch(() => undefined);
      pause = Math.min(pause * 2, pauseMs.longest);
    }
  }

  const kept = keepConnected();
  const stop = async (): Promise<void> => {
    closing.abort();
    finder?.close();
    latest?.end();
    await kept;
  };
  await firstAttempt.promise.catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    async run(script, keys, args, onLate) {
      const connection = latest;
      if (!connection?.isOpen) throw refusal ?? new RedisFailure('there is no connection to Redis');
      try {
        const reply = await connection.run(script, keys, args, onLate);
        // a replica still answers what was asked behind the write for which the connection was ended
        if (latest?.isOpen) refusal = undefined;
        return reply;
      } catch (error) {
        throw refusal ?? error;
      }
    },
    async close() {
      await underWay.end(silenceLimitMs);
      await stop();
    },
  };
}

/** Undefined where a URL names the server. */
function chooseFinder(options: RedisOptions, createClient: CreateClient): MasterFinder | undefined {
  const { login, readTls: tls = () => undefined } = options;
  if ('sentinel' in options) {
    const { sentinel } = options;
    return findBySentinel({ ...sentinel, login: sentinel.login, tls, createClient });
  }
  if ('cluster' in options) {
    return findInCluster({ ...options.cluster, login, tls, createClient });
  }
  return undefined;
}

/** The server's address and login from a URL. Throws `CONFIG_INVALID`. */
function chooseEndpoint(
  options: RedisOptions,
  finder: MasterFinder | undefined,
): () => Promise<RedisEndpoint> {
  const { login, readTls } = options;
  if (finder) return async () => ({ at: await finder.find(), login, tls: readTls?.() });
  const url = 'url' in options ? reveal(options.url) : '';
  const { protocol } = URL.parse(url) ?? {};
  if (protocol !== 'redis:' && protocol !== 'rediss:') {
    throw new ConfigError(
      'CONFIG_INVALID',
      'store.url is no URL such as redis://HOST:PORT or rediss://USER:PASSWORD@HOST:PORT',
    );
  }
  const tls = protocol === 'rediss:' ? (readTls ?? (() => ({}))) : () => undefined;
  return () => Promise.resolve({ at: { url }, login, tls: tls() });
}

function reveal(text: Secret | string): string {
  return typeof text === 'string' ? text : text.reveal();
}

/** Ends the connection when another server has become the master, even while nothing is answered on it. */
function watchMaster(finder: MasterFinder, at: HostAndPort, connection: Connection): void {
  const over = new AbortController();
  connection.ended.catch(() => over.abort());
  const watch = async (): Promise<void> => {
    for (;;) {
      await sleep(watchIntervalMs, undefined, { signal: over.signal, ref: false });
      // where nobody can be asked, the connection stays
      const master = await finder.find().catch(() => at);
      if (addressOf(master) !== addressOf(at)) {
        connection.end('another server has become the master');
      }
    }
  };
  watch().catch(() => undefined);
}
