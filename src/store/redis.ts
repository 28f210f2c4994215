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
 * Scripts reject when Redis is not connected, answers with an error, or has not answered after a second; and when what they
 * wrote is not acknowledged as it should be.
 */
export type Redis = ScriptRunner & {
  /**
   * Waits for answers that are still owed, for 3 s at most: whoever has given one up undoes what it tells of. What is under way
   * then fails.
   */
  close(): Promise<void>;
};

/** Where the server is, or who knows. */
export type RedisServers =
  /** redis:// or rediss://, with user name and password where Redis wants them */
  | { readonly url: Secret | string }
  | {
      readonly sentinel: {
        readonly master: string;
        readonly nodes: readonly HostAndPort[];
        /** to the sentinels themselves */
        readonly login?: RedisLogin | undefined;
      };
    }
  | {
      readonly cluster: {
        readonly nodes: readonly HostAndPort[];
        /** what all keys begin with, their hash tag in it */
        readonly keyPrefix: string;
      };
    };

/** Where the servers are, and how they let in. */
export type RedisAccess = RedisServers & {
  readonly login?: RedisLogin | undefined;
  /** Read for each connection, so that renewed certificates are taken up; undefined for none, which rediss:// turns on all the same. */
  readonly readTls?: (() => RedisTls | undefined) | undefined;
  /** Who must have what a script wrote before it counts; nobody unless told. */
  readonly acknowledge?: Acknowledge | undefined;
};

export type RedisOptions = RedisAccess & {
  readonly log: (level: 'info' | 'warn', message: string, fields?: object) => void;
  /** what makes each connection; the client library unless told */
  readonly createClient?: CreateClient;
};

/** Between two attempts to connect; it doubles up to the second one. */
const pauseMs = { first: 50, longest: 250 };
/** Between two questions after the master, while there is a connection to one. */
const watchIntervalMs = 250;

/**
 * Connects to the one Redis server that has the keys, and again whenever the connection ends or another server is the master;
 * meanwhile scripts fail at once. Resolves after the first attempt, whether it succeeds or not. Throws `CONFIG_INVALID`.
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
  /** what it refused with, until it does what it is asked for, or does not let in any more */
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
        // at the start it is refused; later, as after a fail-over, it is no better than none
        if (error instanceof ConfigError) firstAttempt.reject(error);
        // with a code of the network's: what only takes long is no less full, or a replica
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

/** Throws `CONFIG_INVALID`. */
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

/** Ends the connection when another server has become the master, also while nothing is answered on it. */
function watchMaster(finder: MasterFinder, at: HostAndPort, connection: Connection): void {
  const over = new AbortController();
  connection.ended.catch(() => over.abort());
  const watch = async (): Promise<void> => {
    for (;;) {
      await sleep(watchIntervalMs, undefined, { signal: over.signal, ref: false });
      // whoever can't be asked tells nothing against the connection
      const master = await finder.find().catch(() => at);
      if (addressOf(master) !== addressOf(at)) {
        connection.end('another server has become the master');
      }
    }
  };
  watch().catch(() => undefined);
}
