import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isSignerError } from '../errors.ts';
import { describeReadFailure, readPlainFileAsync } from '../files/plain-file.ts';
import { readTextFile } from './read-text-file.ts';

/** A file whose content is in force as a whole, and can be replaced as a whole while the program runs. */
export type WatchedFile<Value> = {
  /** The value of the last valid content. */
  current(): Value;
  /** Why the file as it is now is not in force; undefined while it is. */
  problem(): ReloadProblem | undefined;
  /** The outcomes of the readings since the file was opened. */
  history(): ReloadHistory;
  /** Reads the file now. An invalid one is logged, and the value in force stays. Resolves once the file has been read. */
  reload(): Promise<void>;
  /** Stops watching the file, and heeding SIGHUP for it. */
  close(): void;
};

/** `unreadable` is tried again until it succeeds, `invalid` once the file has changed. */
export type ReloadProblem = 'unreadable' | 'invalid';

export type ReloadHistory = {
  /** how many readings were accepted, and how many refused, not counting the first */
  readonly taken: number;
  readonly refused: number;
  /** milliseconds since the value in force was read */
  readonly inForceMs: number;
};

/** For readiness and metrics. */
export type WatchedFileState = {
  /** the setting that names the file */
  readonly setting: string;
  problem(): ReloadProblem | undefined;
  /** undefined where no file is configured */
  history(): ReloadHistory | undefined;
};

export type WatchedFileOptions<Value> = {
  readonly path: string;
  /** Checks the text as a whole. Throws the problems that it finds. */
  readonly parse: (text: string, path: string) => Value;
  /**
   * The same while the program runs, without holding it up; `parse` where it is left out. What it resolves with is called when the
   * value comes into force, and throws as `parse` does.
   */
  readonly parseLater?: (text: string, path: string) => Promise<() => Value>;
  readonly log: (
    level: 'info' | 'error',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

/**
 * How often the file behind the path is checked. It is polled, instead of watching its folder, so that a symbolic link that is
 * replaced anywhere on the way (Kubernetes swaps `..data`), a mounted file and a network drive are all noticed. A change counts
 * once it is found twice, since a file may still be being written.
 */
const pollIntervalMs = 200;

/**
 * Reads a file, and again whenever it changes or the process gets SIGHUP. Invalid content is logged and never comes into force; a
 * file that can't be read for a moment is read again until it can. Throws `CONFIG_INVALID` when it can't be read now, or `parse`
 * refuses it.
 */
export function openWatchedFile<Value>({
  path,
  parse,
  parseLater = (...read) => Promise.resolve(() => parse(...read)),
  log,
}: WatchedFileOptions<Value>): WatchedFile<Value> {
  const text = readTextFile(path, 'file');
  let value = parse(text, path);
  let inForce = digest(text);
  /** what was found last */
  let seen: { readonly sha256: string } | { readonly unreadable: string } = { sha256: inForce };
  let problem: ReloadProblem | undefined;
  let readings = { taken: 0, refused: 0, takenAtMs: performance.now() };
  let isClosed = false;
  let reading: Promise<void> = Promise.resolve();

  function refuse(kind: ReloadProblem, reason: string): void {
    problem = kind;
    readings = { ...readings, refused: readings.refused + 1 };
    const retries = kind === 'unreadable' ? 'until it can be read' : 'when it has changed';
    const fields = { path, inForce, problem: reason, retries };
    log('error', 'file not reloaded: what was in force stays', fields);
  }

  async function read(isForced: boolean): Promise<void> {
    let text: string;
    try {
      text = (await readPlainFileAsync(path)).toString('utf8');
    } catch (error) {
      const reason = `file ${path} can't be read: ${describeReadFailure(error)}`;
      if (isClosed) return;
      if (isForced || !('unreadable' in seen && seen.unreadable === reason)) {
        refuse('unreadable', reason);
      }
      seen = { unreadable: reason };
      return;
    }
    if (!isClosed) await take(text, isForced);
  }

  async function take(text: string, isForced: boolean): Promise<void> {
    const sha256 = digest(text);
    const isKnown = 'sha256' in seen && seen.sha256 === sha256;
    if (isKnown && !isForced) return;
    seen = { sha256 };
    try {
      const accept = await parseLater(text, path);
      if (isClosed) return;
      value = accept();
    } catch (error) {
      if (isClosed) return;
      refuse('invalid', isSignerError(error) ? error.message : "it can't be understood");
      return;
    }
    problem = undefined;
    readings = { ...readings, taken: readings.taken + 1, takenAtMs: performance.now() };
    log('info', 'file reloaded', { path, sha256, before: inForce });
    inForce = sha256;
  }

  function readAgain(isForced: boolean): Promise<void> {
    return (reading = reading.then(() => read(isForced)));
  }

  const stopPolling = pollFile(path, async () => {
    await readAgain(false);
    return !('unreadable' in seen);
  });
  const reload = (): Promise<void> => readAgain(true);
  onHangUp(reload);
  return {
    current: () => value,
    problem: () => problem,
    history() {
      const { taken, refused, takenAtMs } = readings;
      return { taken, refused, inForceMs: performance.now() - takenAtMs };
    },
    reload,
    close: () => {
      isClosed = true;
      stopPolling();
      offHangUp(reload);
    },
  };
}

/**
 * Calls `onChange` when the path leads to something new, and once at first; again for as long as it gives false, which means that
 * the file could not be read. Returns the function that ends this.
 */
function pollFile(path: string, onChange: () => Promise<boolean>): () => void {
  let known: string | undefined;
  let seen: string | undefined;
  let isPolling = false;
  let isStopped = false;

  async function poll(): Promise<void> {
    if (isPolling) return;
    isPolling = true;
    const found = await stat(path, { bigint: true }).then(describeStats, describeError);
    if (found === seen && found !== known && !isStopped) {
      known = (await onChange()) ? found : undefined;
    }
    seen = found;
    isPolling = false;
  }

  const timer = setInterval(() => void poll(), pollIntervalMs).unref();
  return () => {
    isStopped = true;
    clearInterval(timer);
  };
}

function describeStats({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

function describeError(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

/** A hash that tells two versions of a file apart, and finds one with `sha256sum`. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

const reloads = new Set<() => Promise<void>>();

function reloadAll(): void {
  for (const reload of reloads) void reload();
}

function onHangUp(reload: () => Promise<void>): void {
  if (reloads.size === 0) process.on('SIGHUP', reloadAll);
  reloads.add(reload);
}

function offHangUp(reload: () => Promise<void>): void {
  reloads.delete(reload);
  if (reloads.size === 0) process.off('SIGHUP', reloadAll);
}
