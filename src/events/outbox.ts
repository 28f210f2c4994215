import { open, stat } from 'node:fs/promises';
import {
  chainFile,
  countWholeLineBytes,
  listChainFiles,
  openPlainFile,
  readBytes,
  splitLines,
} from '../audit/files.ts';
import { type NotedEnd, readNotedEnd } from '../audit/noted-end.ts';
import type { NotedPosition, Position } from './positions.ts';
import type { OutgoingEvent } from './sink.ts';

export type OutboxBatch = {
  readonly events: readonly (OutgoingEvent & { readonly time: string })[];
  /** where the next batch begins */
  readonly end: Position;
  /** whether the chain goes on in a later file than the one that was read */
  readonly hasNextFile: boolean;
  /** of the file that was read */
  readonly bytesLeft: number;
};

/** The most bytes of a chain's first record, which says little more than that it is the first. */
const firstRecordBytes = 65_536;

/**
 * The position at which the delivery of a chain's events continues: the noted one, or the first record that is there, where
 * nothing was noted of this very chain. When a chain is moved away, another chain can get its name, of which nothing has been
 * delivered yet. undefined while the chain has no record by which to tell.
 */
export async function findPosition(
  folder: string,
  noted: NotedPosition | undefined,
): Promise<NotedPosition | undefined> {
  const [first] = await listChainFiles(folder);
  const began = first?.number === 1 ? await readFirstHash(first.path) : '';
  if (began === undefined) return undefined;
  if (noted && (began === '' || began === (noted.began ?? began))) {
    return { ...noted, began: noted.began ?? began };
  }
  return { file: first?.number ?? 1, offset: 0, began };
}

async function readFirstHash(path: string): Promise<string | undefined> {
  await using handle = await openPlainFile(path, 'read');
  const [line] = splitLines(await readBytes(handle, 0, firstRecordBytes));
  return line && /"hash":"([0-9a-f]{64})"\}$/.exec(line.toString())?.[1];
}

/** bytes of the log that are read at once */
const readBytesAtOnce = 1_048_576;
/** What has been in a file for this long will stay there: its writer is alive and has noted it, or has ended. */
const settledAfterMs = 60_000;

/**
 * The events of a chain that follow a position, and where they end; none where nothing has been written since. All of them are on
 * disk for good, so that no event is delivered whose payment's record is then lost. Nor does it give events that the chain's
 * writer may still take back because the disk failed and the payment was refused.
 */
export async function readBatch(folder: string, { file, offset }: Position): Promise<OutboxBatch> {
  // listed before it is read, so that a file with another one after it is complete
  const hasNextFile = (await listChainFiles(folder)).some(({ number }) => number > file);
  const noted = await readNote(folder);
  const handle = await open(chainFile(folder, file).path, 'r');
  try {
    const { size, mtimeMs } = await handle.stat();
    const isSettled = Date.now() - mtimeMs > settledAfterMs;
    const upTo = isSettled ? size : Math.min(size, durableBytes(file, noted));
    if (size < offset) throw new Error(`${chainFile(folder, file).path} is shorter than it was`);
    for (let atOnce = readBytesAtOnce; ; atOnce *= 2) {
      const length = Math.min(atOnce, Math.max(0, upTo - offset));
      const bytes = await readBytes(handle, offset, length);
      const wholeBytes = countWholeLineBytes(bytes);
      if (wholeBytes === 0 && bytes.length === atOnce) continue;
      if (wholeBytes === 0) {
        const isDone = hasNextFile && upTo === size;
        const end = isDone ? { file: file + 1, offset: 0 } : { file, offset };
        return { events: [], end, hasNextFile, bytesLeft: size - offset };
      }
      await handle.datasync();
      const events = splitLines(bytes.subarray(0, wholeBytes)).flatMap(readEvent);
      const end = { file, offset: offset + wholeBytes };
      return { events, end, hasNextFile, bytesLeft: size - end.offset };
    }
  } finally {
    await handle.close();
  }
}

/**
 * Reads the note of a chain's end, a second time where it was just being replaced; undefined where there is none, as in chains of
 * earlier releases.
 */
async function readNote(folder: string): Promise<NotedEnd | undefined> {
  return (await readNotedEnd(folder)) ?? (await readNotedEnd(folder)) ?? readNotedEnd(folder);
}

/** The number of a file's bytes that are known to be durable; a file is complete before the next one is noted. */
function durableBytes(file: number, noted: NotedEnd | undefined): number {
  if (!noted || file < noted.file) return Infinity;
  return file === noted.file ? noted.size : 0;
}

const eventMark = ',"event":"';

/** The id is the first member of an event. */
const idPattern = /^\{"id":"([^"]+)"/;

function readEvent(line: Buffer): OutboxBatch['events'][number][] {
  if (!line.includes(eventMark)) return [];
  const record = JSON.parse(line.toString()) as { event?: unknown; time?: unknown };
  if (typeof record.event !== 'string') return [];
  const [, id] = idPattern.exec(record.event) ?? [];
  if (id === undefined) throw new Error('an event of the audit log has no id');
  return [{ id, value: record.event, time: String(record.time) }];
}

/** The number of bytes in a chain's files after a position. */
export async function countBytesAfter(folder: string, position: Position): Promise<number> {
  let bytes = 0;
  for (const { number, path } of await listChainFiles(folder)) {
    if (number < position.file) continue;
    const { size } = await stat(path);
    bytes += number === position.file ? Math.max(0, size - position.offset) : size;
  }
  return bytes;
}
