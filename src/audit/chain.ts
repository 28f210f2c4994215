import { fstatSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RecordsError } from '../errors.ts';
import {
  type ChainFile,
  chainFile,
  listChainFiles,
  readBytes,
  readLastLines,
  syncFolder,
  writeBytes,
} from './files.ts';
import { lockChain } from './lock.ts';
import { type ChainHead, decodeRecord, emptyChain } from './record.ts';

/** The files of one chain, open for appending by this process alone. One write at a time; `sync` may overlap with it. */
export type Chain = {
  /** how much of a torn last line was cut off when it was opened */
  readonly cutBytes: number;
  readonly head: () => ChainHead;
  /** written since the last `sync` that succeeded */
  readonly unsyncedBytes: () => number;
  /** Appends whole lines, which end the chain with `head`. After a failure nothing but `repair` may be called. */
  write(lines: Buffer, head: ChainHead): Promise<void>;
  /**
   * Makes durable what was written before the call. Throws also when the file was deleted. After a failure nothing but `repair`
   * may be called.
   */
  sync(): Promise<void>;
  /**
   * Brings the file back to its last good end, with nothing else under way: what was written and not synced is written once
   * more, since after a failed sync nobody knows what of it is on disk, and the rest is cut off.
   */
  repair(): Promise<void>;
  /** Throws when the file was deleted, and what is written would be lost. */
  checkInPlace(): void;
  close(): Promise<void>;
};

export type ChainOptions = {
  readonly folder: string;
  /** A file that has grown beyond it is ended, and the next one begun. */
  readonly maxFileBytes: number;
};

/** An auditor may read them as a member of the group. */
const folderMode = 0o750;
const fileMode = 0o640;

/**
 * Opens the chain in a folder, or begins one, and cuts off a torn last line. Throws `AUDIT_UNAVAILABLE` when another process
 * writes it, or its last record was changed; and what the file system says.
 */
export async function openChain({ folder, maxFileBytes }: ChainOptions): Promise<Chain> {
  const created = await mkdir(folder, { recursive: true, mode: folderMode });
  if (created !== undefined) {
    await syncFolder(dirname(created));
    await syncFolder(dirname(folder));
  }
  const unlock = await lockChain(folder);
  try {
    return await openLocked(folder, maxFileBytes, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

async function openLocked(
  folder: string,
  maxFileBytes: number,
  unlock: () => void,
): Promise<Chain> {
  const files = await listChainFiles(folder);
  let file = files.at(-1) ?? chainFile(folder, 1);
  let handle = await openFile(file);
  const found = await cutTornLine(handle, file, files.at(-2)).catch(async (error: unknown) => {
    await handle.close();
    throw error;
  });
  let { end, head } = found;

  let durable = { end, head };
  /** the lines between `durable.end` and `end` */
  let unsynced: Buffer[] = [];
  let syncing: Promise<void> = Promise.resolve();

  async function syncNow(): Promise<void> {
    const upTo = { end, head };
    const count = unsynced.length;
    const synced = handle;
    requireInPlace(synced, file);
    await synced.datasync();
    if (synced !== handle) return; // the next file has begun, which this one was synced for
    durable = upTo;
    unsynced = unsynced.slice(count);
  }

  function sync(): Promise<void> {
    return (syncing = syncNow());
  }

  /** The file before is whole on disk when the next one begins. */
  async function beginNextFile(): Promise<void> {
    await syncing;
    await sync();
    const next = chainFile(folder, file.number + 1);
    const nextHandle = await openFile(next);
    if ((await nextHandle.stat()).size > 0) {
      await nextHandle.close();
      throw new Error(`${next.path} was put there by somebody else`);
    }
    await handle.close();
    file = next;
    handle = nextHandle;
    end = 0;
    durable = { end, head };
  }

  return {
    cutBytes: found.cutBytes,
    head: () => head,
    unsyncedBytes: () => end - durable.end,
    async write(lines, newHead) {
      if (end >= maxFileBytes) await beginNextFile();
      await writeBytes(handle, lines, end);
      unsynced.push(lines);
      end += lines.length;
      head = newHead;
    },
    sync,
    async repair() {
      await handle.close().catch(() => undefined);
      handle = await open(file.path, 'r+');
      await requireEnd(handle, durable, file);
      await writeBytes(handle, Buffer.concat(unsynced), durable.end);
      await handle.truncate(end);
      await sync();
    },
    checkInPlace: () => requireInPlace(handle, file),
    async close() {
      await handle.close().finally(unlock);
    },
  };
}

type Handle = Awaited<ReturnType<typeof open>>;

/** Creates it where it is missing; one that was left empty by an attempt before is as good as new. */
async function openFile(file: ChainFile): Promise<Handle> {
  try {
    return await open(file.path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const created = await open(file.path, 'wx+', fileMode);
  await syncFolder(dirname(file.path));
  return created;
}

/** Leaves a file that ends with a whole record, or an empty one, and tells where the chain ends. */
async function cutTornLine(handle: Handle, file: ChainFile, before: ChainFile | undefined) {
  const { size } = await handle.stat();
  const { lines, end } = await readLastLines(handle, size, 1);
  const [line] = lines;
  const head = line ? requireRecord(line, file) : await readHeadBefore(file, before);
  await handle.truncate(end);
  await handle.datasync();
  return { end, head, cutBytes: size - end };
}

async function readHeadBefore(file: ChainFile, before: ChainFile | undefined): Promise<ChainHead> {
  if (file.number === 1) return emptyChain;
  if (before?.number !== file.number - 1) throw brokenChain(file, 'the file before it is missing');
  const handle = await open(before.path, 'r');
  try {
    const { size } = await handle.stat();
    const { lines, end } = await readLastLines(handle, size, 1);
    const [line] = lines;
    if (!line || end !== size) throw brokenChain(before, 'it does not end with a whole record');
    return requireRecord(line, before);
  } finally {
    await handle.close();
  }
}

function requireRecord(line: Buffer, file: ChainFile): ChainHead {
  const record = decodeRecord(line);
  if (typeof record === 'string') throw brokenChain(file, `of its last record, ${record}`);
  return { seq: record.seq, hash: record.hash };
}

/** Asks at once: of an open file the system knows it without the disk, and a thread would cost ten times as much. */
function requireInPlace({ fd }: Handle, file: ChainFile): void {
  const { nlink } = fstatSync(fd);
  if (nlink === 0) throw new Error(`${file.path} was deleted`);
}

async function requireEnd(
  handle: Handle,
  { end, head }: { readonly end: number; readonly head: ChainHead },
  file: ChainFile,
): Promise<void> {
  if (end === 0) return;
  const tail = `"hash":"${head.hash}"}\n`;
  const found = await readBytes(handle, end - tail.length, tail.length);
  if (found.toString('latin1') !== tail) throw new Error(`${file.path} was changed`);
}

function brokenChain(file: ChainFile, problem: string): RecordsError {
  return new RecordsError(
    'AUDIT_UNAVAILABLE',
    `the audit log can't be continued: ${file.path}: ${problem}; run livepeer-hsm-signer audit verify on the folder, ` +
      'move it away as evidence, and start again',
  );
}
