import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { readTextFile } from './read-text-file.ts';

/** A file whose content is in force as a whole, and is replaced as a whole while the program runs. */
export type WatchedFile<Value> = {
  /** The value of the last content that was good. */
  current(): Value;
  /** Reads the file now. A bad one is logged, and what was in force stays. */
  reload(): void;
  /** No longer looks at the file, nor heeds SIGHUP for it. */
  close(): void;
};

export type WatchedFileOptions<Value> = {
  readonly path: string;
  /** Checks the text as a whole. Throws what is to be said of it. */
  readonly parse: (text: string, path: string) => Value;
  readonly log: (
    level: 'info' | 'error',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

/**
 * What the path leads to is asked for so often, instead of watching its folder: so a symbolic link that is replaced anywhere
 * on the way (Kubernetes swaps `..data`), a mounted file and a network drive are all seen. A change counts once it is found
 * twice: a file may still be being written.
 */
const pollIntervalMs = 200;

/**
 * Reads a file, and again whenever it changes or the process gets SIGHUP; what is bad is logged and never comes into
 * force. Throws `CONFIG_INVALID` when it can't be read or `parse` refuses it now.
 */
export function openWatchedFile<Value>({
  path,
  parse,
  log,
}: WatchedFileOptions<Value>): WatchedFile<Value> {
  const text = readTextFile(path, 'file');
  let value = parse(text, path);
  let inForce = digest(text);
  let lastRead: string | undefined = inForce;

  function reload(): void {
    lastRead = undefined;
    try {
      const text = readTextFile(path, 'file');
      lastRead = digest(text);
      value = parse(text, path);
      log('info', 'file reloaded', { path, sha256: lastRead, before: inForce });
      inForce = lastRead;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      log('error', 'file not reloaded: what was in force stays', { path, inForce, problem });
    }
  }

  const stopPolling = pollFile(path, () => {
    if (digestOfFile(path) !== lastRead) reload();
  });
  onHangUp(reload);
  return {
    current: () => value,
    reload,
    close: () => {
      stopPolling();
      offHangUp(reload);
    },
  };
}

/** Calls `onChange` when the path leads to something new, and once at first. Returns what ends it. */
function pollFile(path: string, onChange: () => void): () => void {
  let known: string | undefined;
  let seen: string | undefined;
  let isPolling = false;
  let isStopped = false;

  async function poll(): Promise<void> {
    if (isPolling) return;
    isPolling = true;
    const found = await stat(path, { bigint: true }).then(describeStats, describeError);
    isPolling = false;
    if (found === seen && found !== known && !isStopped) {
      known = found;
      onChange();
    }
    seen = found;
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

/** undefined when it can't be read */
function digestOfFile(path: string): string | undefined {
  try {
    return digest(readTextFile(path, 'file'));
  } catch {
    return undefined;
  }
}

/** Enough to tell two versions of a file apart, and to find one with `sha256sum`. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

const reloads = new Set<() => void>();

function reloadAll(): void {
  for (const reload of reloads) reload();
}

function onHangUp(reload: () => void): void {
  if (reloads.size === 0) process.on('SIGHUP', reloadAll);
  reloads.add(reload);
}

function offHangUp(reload: () => void): void {
  reloads.delete(reload);
  if (reloads.size === 0) process.off('SIGHUP', reloadAll);
}
