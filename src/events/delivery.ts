import { setTimeout as pause } from 'node:timers/promises';
import { type ChainFolder, listChains } from '../audit/files.ts';
import { type OutboxBatch, countBytesAfter, findPosition, readBatch } from './outbox.ts';
import { type Position, positionsFile, readPositions, writePositions } from './positions.ts';
import { DeliveryError, type EventSink } from './sink.ts';

/** The state of the delivery to a sink, for metrics. */
export type DeliveryStatus = {
  readonly sink: EventSink['name'];
  readonly isHealthy: boolean;
  /** events that wait, counted only while the sink takes none; 0 while it takes them as they come */
  readonly pendingEvents: number;
  /** bytes of the audit log that are not delivered, other records included */
  readonly pendingBytes: number;
  /** 0 where none waits */
  readonly oldestAgeSeconds: number;
  readonly published: number;
  /** attempts that the sink refused or did not answer */
  readonly publishErrors: number;
  /** how often the log or the positions could not be read or written */
  readonly storageErrors: number;
};

export type DeliveryOptions = {
  readonly auditFolder: string;
  readonly sink: EventSink;
  readonly log: (level: 'info' | 'warn', message: string, fields: object) => void;
  /** Unix milliseconds */
  readonly nowMs: () => number;
};

export type Delivery = {
  status(): DeliveryStatus;
  /** Delivers what is in the log now, for at most two seconds, then stops. */
  close(): Promise<void>;
};

type Backlog = {
  readonly upTo: Position;
  readonly events: number;
  /** Unix milliseconds */
  readonly oldestMs: number | undefined;
};

/** How often the log is read while there is little new: each reading costs the same, whatever it finds. */
const pauseMs = 1_000;
/** With this many bytes of the log left, the next reading follows at once. */
const muchBytes = 524_288;
/** How often the bytes that are left are counted, at most. */
const countEveryMs = 900;
const firstRetryMs = 500;
const longestRetryMs = 30_000;
/** How long a stop waits for the last events; what is left is sent after the next start. */
const closeTimeoutMs = 2_000;

/**
 * Delivers the events of an audit log's chains to a sink: in the order of each chain, at least once, with the same bytes at each
 * attempt. One process does this for all chains, also for those of workers that have ended. The position that it has reached is
 * kept on disk.
 */
export async function startDelivery(options: DeliveryOptions): Promise<Delivery> {
  const { auditFolder, sink, log, nowMs } = options;
  const path = positionsFile(auditFolder, sink.name);
  let positions = await readPositions(path);
  const stopped = new AbortController();
  const aborted = new AbortController();
  let retryMs = firstRetryMs;
  let problem: string | undefined;
  /** what waits in each chain, counted only while the sink takes nothing */
  const backlog = new Map<string, Backlog>();
  let pendingBytes = 0;
  /** by the process's clock */
  let countedAtMs = -Infinity;
  const counts = { published: 0, publishErrors: 0, storageErrors: 0 };

  /** Whether to read again at once: when much is left to deliver, or when anything is left during a stop. */
  async function deliverOnce(): Promise<{ hasMore: boolean; failure?: unknown }> {
    const enough = stopped.signal.aborted ? 1 : muchBytes;
    // it looks at each file that is left, which takes longer than to deliver a small one
    const isCounting = performance.now() - countedAtMs >= countEveryMs;
    let bytes = 0;
    let hasMore = false;
    let failed: { failure: unknown } | undefined;
    for (const chain of await listWritten(auditFolder)) {
      try {
        const delivered = await deliverChain(chain);
        if (!delivered) continue;
        const { end, hasNextFile, bytesLeft } = delivered;
        hasMore ||= hasNextFile || bytesLeft >= enough;
        if (isCounting) bytes += await countBytesAfter(chain.path, end);
      } catch (error) {
        if (error instanceof DeliveryError || aborted.signal.aborted) throw error;
        // a failure of one chain does not hold back the events of the others
        failed ??= { failure: error };
      }
    }
    if (isCounting && !failed) {
      pendingBytes = bytes;
      countedAtMs = performance.now();
    }
    return { hasMore, ...failed };
  }

  /** Delivers what one reading of a chain gives, and gives that reading; undefined where there was nothing new. */
  async function deliverChain({
    name,
    path: folder,
  }: ChainFolder): Promise<OutboxBatch | undefined> {
    aborted.signal.throwIfAborted();
    const noted = positions[name];
    const position = await findPosition(folder, noted);
    if (!position) return undefined;
    positions = { ...positions, [name]: position };
    if (noted?.began !== undefined && noted.began !== position.began) {
      log('warn', 'a chain of the audit log was replaced by another: all events of that are sent', {
        sink: sink.name,
        chain: name,
      });
    }
    const batch = await readBatch(folder, position);
    if (batch.events.length > 0) {
      await unlessAborted(sink.send(batch.events, aborted.signal), aborted.signal);
      counts.published += batch.events.length;
    }
    backlog.delete(name);
    if (isSame(batch.end, position)) return undefined;
    positions = { ...positions, [name]: { ...batch.end, began: position.began } };
    // also for a file that is completely delivered: it may be archived from now on
    if (batch.events.length > 0 || batch.end.file !== position.file) {
      await writePositions(path, positions);
    }
    return batch;
  }

  async function measureBacklog(): Promise<void> {
    let bytes = 0;
    for (const { name, path: folder } of await listWritten(auditFolder)) {
      const position = await findPosition(folder, positions[name]);
      if (!position) continue;
      bytes += await countBytesAfter(folder, position);
      let found = backlog.get(name) ?? { upTo: position, events: 0, oldestMs: undefined };
      for (;;) {
        const { events, end } = await readBatch(folder, found.upTo);
        if (isSame(end, found.upTo)) break;
        const oldestMs = found.oldestMs ?? (events[0] && Date.parse(events[0].time));
        found = { upTo: end, events: found.events + events.length, oldestMs };
      }
      backlog.set(name, found);
    }
    pendingBytes = bytes;
  }

  function note(error: unknown): void {
    const isDelivery = error instanceof DeliveryError;
    if (isDelivery) counts.publishErrors += 1;
    else counts.storageErrors += 1;
    const reason = isDelivery ? error.message : describeStorageError(error);
    if (problem === undefined) {
      log('warn', 'events are not delivered; they wait in the audit log', {
        sink: sink.name,
        reason,
      });
    }
    problem = reason;
  }

  async function run(): Promise<void> {
    for (;;) {
      const isLast = stopped.signal.aborted;
      try {
        const { hasMore, failure } = await deliverOnce();
        if (failure !== undefined) {
          note(failure);
          // it reads all that is left, and then all over again: not after each piece of what other chains have
          if (!hasMore) await measureBacklog().catch(() => undefined);
        } else {
          if (problem !== undefined) log('info', 'events are delivered again', { sink: sink.name });
          problem = undefined;
        }
        retryMs = firstRetryMs;
        if (hasMore) continue;
        if (isLast) return;
        await pause(pauseMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      } catch (error) {
        if (aborted.signal.aborted) {
          log('info', 'events wait in the audit log for the next start', { sink: sink.name });
          return;
        }
        note(error);
        if (isLast) return;
        await measureBacklog().catch(() => undefined);
        await pause(retryMs, undefined, { signal: stopped.signal }).catch(() => undefined);
        retryMs = Math.min(2 * retryMs, longestRetryMs);
      }
    }
  }

  const running = run();
  return {
    status() {
      const waiting = [...backlog.values()];
      const oldestMs = Math.min(...waiting.map(({ oldestMs = Infinity }) => oldestMs));
      return {
        sink: sink.name,
        isHealthy: problem === undefined,
        pendingEvents: waiting.reduce((sum, { events }) => sum + events, 0),
        pendingBytes,
        oldestAgeSeconds: Number.isFinite(oldestMs) ? Math.max(0, nowMs() - oldestMs) / 1000 : 0,
        ...counts,
      };
    },
    async close() {
      stopped.abort();
      const timer = setTimeout(() => aborted.abort(), closeTimeoutMs);
      await running;
      clearTimeout(timer);
      await writePositions(path, positions).catch(() => undefined);
      await sink.close().catch(() => undefined);
    },
  };
}

/**
 * The chains of the log; none where nothing was ever written, since the process that makes the first payment creates the folder
 * later than this.
 */
function listWritten(auditFolder: string): Promise<ChainFolder[]> {
  return listChains(auditFolder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
}

/** Waits for `work` until `signal` is aborted: a sink may wait for the other side longer than a stop does. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  await Promise.race([work, aborted.promise]).finally(() =>
    signal.removeEventListener('abort', abort),
  );
}

const isSame = (a: Position, b: Position): boolean => a.file === b.file && a.offset === b.offset;

function describeStorageError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  return path === undefined ? code : `${path}: ${code}`;
}
