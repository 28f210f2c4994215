import { dirname } from 'node:path';
import { makeDurableFolder, syncFolder } from '../files/durable-folder.ts';
import { RecordsError } from '../errors.ts';
import {
  type ChainFile,
  appendBytes,
  chainFile,
  identify,
  isSameFile,
  listChainFiles,
  openPlainFile,
  readBytes,
  readLastLines,
  requireInPlace,
  writeBytesAt,
} from './files.ts';
import { lockChain } from './lock.ts';
import { type EndNote, type NotedEnd, openEndNote, readNotedEnd } from './noted-end.ts';
import { type ChainHead, decodeRecord, emptyChain, isTornRecord } from './record.ts';
import { BrokenChainError, verifyFiles } from './verify-chain.ts';

/** The files of one chain, open for appending by this process alone. One write at a time; `sync` may overlap with it. */
export type Chain = {
  /** how many bytes of a torn last line were cut off when it was opened */
  readonly cutBytes: number;
  /** why the whole last file had to be verified when it was opened; undefined where it is the one that was noted */
  readonly doubt: 'another-file' | 'end-unknown' | 'last-record-torn' | undefined;
  readonly head: () => ChainHead;
  /** the bytes that were written since the last `sync` that succeeded */
  readonly unsyncedBytes: () => number;
  /** Appends whole lines, after which the chain ends with `head`. After a failure only `repair` may be called. */
  write(lines: Buffer, head: ChainHead): Promise<void>;
  /**
   * Makes durable what was written before the call. It also throws when the file of that name is not the one that was written, or
   * is shorter. After a failure only `repair` may be called.
   */
  sync(): Promise<void>;
  /**
   * Brings the file back to its last good end; nothing else may be under way. What was written and not synced is written once
   * more, since after a failed sync nobody knows how much of it is on disk; everything else is cut off.
   */
  repair(): Promise<void>;
  /**
   * Throws when the file was deleted, renamed, replaced or truncated: what is written then would be lost, or would follow a gap.
   */
  checkInPlace(): void;
  close(): Promise<void>;
};

export type ChainOptions = {
  readonly folder: string;
  /** A file that has grown beyond this is ended, and the next one is begun. */
  readonly maxFileBytes: number;
};

/** Lets an auditor read them as a member of the group. */
const folderMode = 0o750;
const fileMode = 0o640;

/**
 * Opens the chain in a folder, or begins one, and cuts off a torn last line. Throws `AUDIT_UNAVAILABLE` when another process
 * writes it, when its last record was changed, or when what was written last is not there any more; also throws the file system's
 * own errors.
 */
export async function openChain({ folder, maxFileBytes }: ChainOptions): Promise<Chain> {
  makeDurableFolder(folder, folderMode);
  await using opened = new AsyncDisposableStack();
  opened.defer(await lockChain(folder));
  const files = await listChainFiles(folder);
  const noted = await readNotedEnd(folder);
  const isTorn = noted !== undefined && (await isNotedRecordTorn(folder, files, noted));
  const note = await openEndNote(folder);
  opened.defer(() => note.close());
  const file = files.at(-1) ?? chainFile(folder, 1);
  const handle = await openFile(file);
  opened.defer(() => handle.close());
  const before = await readHeadBefore(file, previousOf(file, files));
  const { end, head, cutBytes } = await cutTornLine(handle, file, before);
  const doubt = isTorn ? 'last-record-torn' : findDoubt(handle, file, end, noted);
  if (doubt) await verifyFile(file, before);
  const chain = writeChain({ folder, maxFileBytes, file, handle, before, end, head, note });
  opened.defer(() => chain.close());
  const kept = opened.move();
  return { ...chain, cutBytes, doubt, close: () => kept.disposeAsync() };
}

type Opened = ChainOptions & {
  readonly file: ChainFile;
  readonly handle: Handle;
  /** where the chain stands before the file; undefined where the file before was archived */
  readonly before: ChainHead | undefined;
  readonly end: number;
  readonly head: ChainHead;
  readonly note: EndNote;
};

function writeChain(opened: Opened): Omit<Chain, 'cutBytes' | 'doubt'> {
  const { folder, maxFileBytes, note } = opened;
  let { file, handle, before, end, head } = opened;
  /** where the file will end when the write under way is done */
  let reach = end;
  let durable = { end, head };
  /** the lines between `durable.end` and `end` */
  let unsynced: Buffer[] = [];
  let syncing: Promise<void> = Promise.resolve();
  /** whether another program may have changed the file */
  let isSuspect = false;

  function checkInPlace(): void {
    try {
      requireInPlace(handle, file.path, { atLeast: end, atMost: reach });
    } catch (error) {
      isSuspect = true;
      throw error;
    }
  }

  async function syncNow(): Promise<void> {
    const upTo = { end, head };
    const count = unsynced.length;
    const synced = handle;
    await synced.datasync();
    if (synced !== handle) return; // the next file has begun, which this one was synced for
    checkInPlace();
    await note.write({
      file: file.number,
      ...identify(synced),
      size: upTo.end,
      ...plain(upTo.head),
    });
    durable = upTo;
    unsynced = unsynced.slice(count);
  }

  function sync(): Promise<void> {
    return (syncing = syncNow());
  }

  /** Begins the next file, once the present one is completely on disk. */
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
    before = head;
    end = 0;
    reach = 0;
    durable = { end, head };
  }

  /** Brings the file, which must still be the same one, into the state that it should have. */
  async function restoreEnd(): Promise<void> {
    await using repaired = await openPlainFile(file.path, 'update');
    if (!isSameFile(identify(repaired), identify(handle))) {
      throw new Error(`${file.path} was replaced by another file`);
    }
    if (!(await hasEnd(repaired, durable))) throw new Error(`${file.path} was changed`);
    await writeBytesAt(repaired, Buffer.concat(unsynced), durable.end);
    await repaired.truncate(end);
    reach = end;
  }

  return {
    head: () => head,
    unsyncedBytes: () => end - durable.end,
    async write(lines, newHead) {
      if (end >= maxFileBytes) await beginNextFile();
      checkInPlace();
      reach = end + lines.length;
      try {
        await appendBytes(handle, lines);
      } catch (error) {
        // readers of the file must not see the refused lines as records; where they can't be cut off now, a later repair does it
        await handle.truncate(end).catch(() => undefined);
        throw error;
      }
      unsynced.push(lines);
      end = reach;
      head = newHead;
    },
    sync,
    async repair() {
      await restoreEnd();
      if (isSuspect) await verifyFile(file, before);
      // a handle that has failed once may keep failing
      const old = handle;
      handle = await openPlainFile(file.path, 'append');
      await old.close().catch(() => undefined);
      await sync();
      isSuspect = false;
    },
    checkInPlace,
    close: () => handle.close(),
  };
}

type Handle = Awaited<ReturnType<typeof openPlainFile>>;

const plain = ({ seq, hash }: ChainHead): ChainHead => ({ seq, hash });

/** Opens the file, and creates it where it is missing; an empty one, left by an earlier attempt, is as good as new. */
async function openFile(file: ChainFile): Promise<Handle> {
  try {
    return await openPlainFile(file.path, 'append');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const created = await openPlainFile(file.path, 'create', fileMode);
  await syncFolder(dirname(file.path));
  return created;
}

/**
 * Throws unless the record that the previous writer noted is still there, in the last file or in the one before. The record
 * itself may be torn: a disk can lose the end of what it had reported as written. Gives true in that case.
 */
async function isNotedRecordTorn(
  folder: string,
  files: readonly ChainFile[],
  { file: number, size, seq, hash }: NotedEnd,
): Promise<boolean> {
  const file = files.find((candidate) => candidate.number === number);
  if (!file) {
    throw brokenChain(chainFile(folder, number), 'it was written, and is not there any more');
  }
  await using handle = await openPlainFile(file.path, 'read');
  if (await hasEnd(handle, { end: size, head: { seq, hash } })) return false;
  const found = (await handle.stat()).size;
  const { lines, end } = await readLastLines(handle, found, 1);
  const [line] = lines;
  const before = line ? decodeRecord(line) : await readHeadBefore(file, previousOf(file, files));
  const isTorn =
    typeof before === 'object' &&
    before.seq === seq - 1 &&
    end < found &&
    file === files.at(-1) &&
    isTornRecord(await readBytes(handle, end, found - end), before);
  if (isTorn) return true;
  throw brokenChain(
    file,
    `record ${seq} is not where it was written: the file was cut off, or replaced`,
  );
}

function previousOf({ number }: ChainFile, files: readonly ChainFile[]): ChainFile | undefined {
  return files.find((candidate) => candidate.number === number - 1);
}

/**
 * Why the whole file must be verified; undefined for the file that was written last, and for an empty one that was begun after
 * it.
 */
function findDoubt(
  handle: Handle,
  { number }: ChainFile,
  end: number,
  noted: NotedEnd | undefined,
): Chain['doubt'] {
  if (!noted) return end === 0 && number === 1 ? undefined : 'end-unknown';
  if (number !== noted.file) return end === 0 ? undefined : 'end-unknown';
  return isSameFile(identify(handle), noted) ? undefined : 'another-file';
}

async function verifyFile(file: ChainFile, before: ChainHead | undefined): Promise<void> {
  await verifyFiles([file], before).catch((error: unknown) => {
    throw error instanceof BrokenChainError ? brokenChain(file, error.message) : error;
  });
}

/** Cuts the file so that it ends with a whole record, or is empty, and tells where the chain ends. */
async function cutTornLine(handle: Handle, file: ChainFile, before: ChainHead | undefined) {
  const { size } = await handle.stat();
  const { lines, end } = await readLastLines(handle, size, 1);
  const [line] = lines;
  const head = line ? requireRecord(line, file) : before;
  if (!head) throw brokenChain(file, 'the file before it is missing');
  await handle.truncate(end);
  await handle.datasync();
  return { end, head, cutBytes: size - end };
}

/** undefined where the file before is not there */
async function readHeadBefore(
  file: ChainFile,
  before: ChainFile | undefined,
): Promise<ChainHead | undefined> {
  if (file.number === 1) return emptyChain;
  if (!before) return undefined;
  await using handle = await openPlainFile(before.path, 'read');
  const { size } = await handle.stat();
  const { lines, end } = await readLastLines(handle, size, 1);
  const [line] = lines;
  if (!line || end !== size) throw brokenChain(before, 'it does not end with a whole record');
  return requireRecord(line, before);
}

function requireRecord(line: Buffer, file: ChainFile): ChainHead {
  const record = decodeRecord(line);
  if (typeof record === 'string') throw brokenChain(file, `of its last record, ${record}`);
  return record;
}

/** Whether the file has the chain's head where it should end. */
async function hasEnd(
  handle: Handle,
  { end, head }: { readonly end: number; readonly head: ChainHead },
): Promise<boolean> {
  if (end === 0) return true;
  const tail = `"hash":"${head.hash}"}\n`;
  const found = await readBytes(handle, end - tail.length, tail.length);
  return found.toString('latin1') === tail;
}

function brokenChain(file: ChainFile, problem: string): RecordsError {
  return new RecordsError(
    'AUDIT_UNAVAILABLE',
    `the audit log can't be continued: ${file.path}: ${problem}; put the file back, or run livepeer-hsm-signer audit verify ` +
      'on the folder, move it away as evidence, and start again',
  );
}
