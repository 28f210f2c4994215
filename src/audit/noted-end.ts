import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { tryParseJson } from '../try-parse-json.ts';
import { endNoteName, openPlainFile, readBytes, writeBytesAt } from './files.ts';
import type { ChainHead } from './record.ts';

/**
 * How far a chain had come when its writer last made it durable. The note lies beside the chain's files, so that a chain whose
 * files were truncated, replaced or removed meanwhile is not mistaken for one that has just begun.
 */
export type NotedEnd = ChainHead & {
  /** the number of the last file, its device and inode, and how many bytes of it were durable */
  readonly file: number;
  readonly device: string;
  readonly inode: string;
  readonly size: number;
};

/** Bytes of the text, padded with blanks: it is replaced in place, so it never needs more room. */
const textBytes = 384;
/**
 * Bytes of the SHA-256 of the text in hexadecimal, which follows the text: a write that a crash cut off leaves new text and an
 * old hash.
 */
const checksumBytes = 64;
const mode = 0o640;

/** Reads the note of a chain; undefined where none was written yet, or it can't be read. */
export async function readNotedEnd(folder: string): Promise<NotedEnd | undefined> {
  let bytes: Buffer;
  try {
    await using handle = await openPlainFile(join(folder, endNoteName), 'read');
    bytes = await readBytes(handle, 0, textBytes + checksumBytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const text = bytes.toString('latin1', 0, textBytes);
  const isWhole = bytes.toString('latin1', textBytes) === checksumOf(text);
  return isWhole ? parse(text) : undefined;
}

function checksumOf(text: string): string {
  return createHash('sha256').update(text, 'latin1').digest('hex');
}

export type EndNote = {
  /** Replaces the note; it survives the end of the process. */
  write(end: NotedEnd): Promise<void>;
  close(): Promise<void>;
};

/** Opens the note of a chain, or begins one that notes nothing. */
export async function openEndNote(folder: string): Promise<EndNote> {
  const handle = await openPlainFile(join(folder, endNoteName), 'write', mode);
  return {
    write: (end) => {
      const text = JSON.stringify(end).padEnd(textBytes);
      return writeBytesAt(handle, Buffer.from(text + checksumOf(text), 'latin1'), 0);
    },
    close: () => handle.close(),
  };
}

function parse(text: string): NotedEnd | undefined {
  const value = tryParseJson(text);
  if (typeof value !== 'object' || value === null) return undefined;
  const end = value as Readonly<Record<keyof NotedEnd, unknown>>;
  const isNoted =
    [end.file, end.size, end.seq].every(Number.isSafeInteger) &&
    [end.device, end.inode, end.hash].every((field) => typeof field === 'string');
  return isNoted ? (end as NotedEnd) : undefined;
}
