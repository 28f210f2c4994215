import { join } from 'node:path';
import { RecordsError, isSignerError } from '../errors.ts';
import { type Chain, openChain } from './chain.ts';
import { type AuditRecord, encodeRecords } from './record.ts';

/** An append-only log whose records each carry the hash of the one before. */
export type AuditLog = {
  /** Resolves once the record is in the file, and so survives the end of the process. Throws `AUDIT_UNAVAILABLE`. */
  write(record: AuditRecord): Promise<void>;
  /** Resolves once the record, and all before it, is on disk. Throws `AUDIT_UNAVAILABLE`. */
  append(record: AuditRecord): Promise<void>;
  /** Resolves when records can be written right now; after a failure it tries to go on. Throws `AUDIT_UNAVAILABLE`. */
  checkHealth(): Promise<void>;
  /** Waits for the records under way, and releases the chain. */
  close(): Promise<void>;
};

export type AuditLogOptions = {
  readonly folder: string;
  /** the writer's own chain: a folder in the folder */
  readonly chain: string;
  /** A file that has grown beyond this is ended, and the next one is begun. */
  readonly maxFileBytes: number;
  readonly log: (
    level: 'info' | 'warn' | 'error',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
  /** what the record of this start says in addition */
  readonly start?: Readonly<Record<string, string>>;
};

/** How many records may wait for the disk before further ones are refused. */
const maxWaiting = 10_000;
/** A disk that takes longer for one write or sync counts as gone, until it answers. */
const stalledAfterMs = 3_000;
/** After a failure, the pause before the file is tried again. */
const retryPauseMs = 100;
/** Bytes that may be written without a sync: so many are synced even if nobody waits for it. */
const maxUnsyncedBytes = 262_144;

type Waiting = {
  readonly record: AuditRecord;
  readonly isDurable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: RecordsError) => void;
};

type Failure = {
  readonly error: RecordsError;
  readonly reason: string;
  /** how many records were refused since */
  lost: number;
};

/**
 * Opens the log for this process alone. Records that wait at the same time are written with one write and made durable with one
 * sync, and the next group is written while the disk syncs the one before. After a failure every record is refused until the file
 * has been repaired, which is tried with the next record. Throws `AUDIT_UNAVAILABLE`.
 */
export async function createAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const folder = join(options.folder, options.chain);
  const chain = await openChain({ ...options, folder }).catch((cause: unknown) => {
    throw isSignerError(cause) ? cause : unavailable(folder, 'opened', cause);
  });
  const auditLog = writeGroups(chain, folder, options.log);
  try {
    const { cutBytes, doubt } = chain;
    await auditLog.append({ kind: 'start', ...options.start, cutBytes, doubt });
    if (doubt)
      options.log('warn', 'audit log goes on in a file that was verified', { folder, doubt });
  } catch (error) {
    await auditLog.close();
    throw error;
  }
  return auditLog;
}

function writeGroups(chain: Chain, folder: string, log: AuditLogOptions['log']): AuditLog {
  let waiting: Waiting[] = [];
  /** written, not yet on disk */
  let unsynced: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let syncing: Promise<void> | undefined;
  let recovering: Promise<void> | undefined;
  let failure: Failure | undefined;
  let triedAtMs = -Infinity;
  let isClosed = false;
  /** since when the disk has owed an answer */
  const owedSinceMs = { write: Infinity, sync: Infinity };

  async function timed(what: keyof typeof owedSinceMs, work: Promise<void>): Promise<void> {
    owedSinceMs[what] = performance.now();
    await work.finally(() => (owedSinceMs[what] = Infinity));
  }

  function isStalled(): boolean {
    const since = Math.min(owedSinceMs.write, owedSinceMs.sync);
    return performance.now() - since > stalledAfterMs;
  }

  function fail(cause: unknown): Failure {
    if (!failure) {
      const error = unavailable(folder, 'written', cause);
      const reason = describeError(cause);
      failure = { error, reason, lost: 0 };
      log('error', 'audit log failed: nothing is signed until it can be written', {
        folder,
        reason,
      });
    }
    return failure;
  }

  function refuse(group: readonly Waiting[], state: Failure): void {
    state.lost += group.length;
    for (const { reject } of group) reject(state.error);
  }

  async function writeRecords(records: readonly AuditRecord[]): Promise<void> {
    const { lines, head } = encodeRecords(records, chain.head(), new Date().toISOString());
    await timed('write', chain.write(Buffer.from(lines), head));
  }

  /** Writes one group after another, until none waits. */
  async function writeWaiting(): Promise<void> {
    // records that come in the same turn of the event loop join the group
    await new Promise(setImmediate);
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      try {
        if (failure) await recover(failure);
        await writeRecords(group.map(({ record }) => record));
      } catch (error) {
        refuse(group, fail(error));
        continue;
      }
      if (failure) {
        // a sync failed meanwhile
        refuse(group, failure);
        continue;
      }
      for (const each of group) {
        if (each.isDurable) unsynced.push(each);
        else each.resolve();
      }
      if (unsynced.length > 0 || chain.unsyncedBytes() > maxUnsyncedBytes) {
        syncing ??= syncUnsynced();
      }
    }
    writing = undefined;
  }

  async function syncUnsynced(): Promise<void> {
    do {
      const group = unsynced;
      unsynced = [];
      try {
        await timed('sync', chain.sync());
      } catch (error) {
        refuse([...group, ...unsynced.splice(0)], fail(error));
        break;
      }
      for (const { resolve } of group) resolve();
    } while (unsynced.length > 0);
    syncing = undefined;
  }

  const isTooSoon = (): boolean => performance.now() - triedAtMs < retryPauseMs;

  function recover(state: Failure): Promise<void> {
    if (!recovering && isTooSoon()) return Promise.reject(state.error);
    return (recovering ??= repair(state).finally(() => (recovering = undefined)));
  }

  /** Records the gap in the log itself, which also proves that it can be written again. */
  async function repair(state: Failure): Promise<void> {
    triedAtMs = performance.now();
    await syncing;
    await timed('write', chain.repair());
    const { reason, lost } = state;
    await writeRecords([{ kind: 'resume', reason, lost }]);
    await timed('sync', chain.sync());
    failure = undefined;
    log('info', 'audit log is written again', { folder, reason, lost });
  }

  function enqueue(record: AuditRecord, isDurable: boolean): Promise<void> {
    if (failure && !recovering && isTooSoon()) {
      failure.lost += 1;
      return Promise.reject(failure.error);
    }
    if (isClosed || waiting.length >= maxWaiting || isStalled()) {
      const reason = isClosed ? 'it is closed' : 'too many records wait for the disk';
      return Promise.reject(unavailable(folder, 'written', new Error(reason)));
    }
    return new Promise((resolve, reject) => {
      waiting.push({ record, isDurable, resolve, reject });
      writing ??= writeWaiting();
    });
  }

  return {
    write: (record) => enqueue(record, false),
    append: (record) => enqueue(record, true),
    async checkHealth() {
      if (isStalled()) throw unavailable(folder, 'written', new Error('the disk does not answer'));
      try {
        if (failure && !writing) await recover(failure);
        chain.checkInPlace();
      } catch (error) {
        fail(error);
      }
      if (failure) throw failure.error;
    },
    async close() {
      isClosed = true;
      await writing;
      await syncing;
      await recovering?.catch(() => undefined);
      if (!failure) await chain.sync().catch(fail);
      await chain.close().catch(fail);
    },
  };
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

function unavailable(folder: string, verb: 'opened' | 'written', cause: unknown): RecordsError {
  const reason = cause instanceof Error ? cause.message : 'unknown';
  return new RecordsError(
    'AUDIT_UNAVAILABLE',
    `the audit log in ${folder} can't be ${verb}: ${reason}`,
    { retryable: true, cause },
  );
}
