import { constants, fstatSync, statSync } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** One file of a chain; they are numbered from 1 without a gap. */
export type ChainFile = { readonly number: number; readonly path: string };

/** The file with this number in a chain's folder. */
export function chainFile(folder: string, number: number): ChainFile {
  return { number, path: join(folder, `${String(number).padStart(6, '0')}.jsonl`) };
}

const chainFileName = /^(\d{6,})\.jsonl$/;

/** The file in a chain's folder that says how far the chain has come. */
export const endNoteName = 'end.json';

/** The files of a chain in their order. */
export async function listChainFiles(folder: string): Promise<ChainFile[]> {
  const names = await readdir(folder);
  return names
    .flatMap((name) => chainFileName.exec(name)?.[1] ?? [])
    .map((digits) => chainFile(folder, Number(digits)))
    .sort((a, b) => a.number - b.number);
}

const lineFeed = 0x0a;
const firstReadBytes = 65_536;

/** The whole lines in bytes, without their line feeds. */
export function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end; (end = bytes.indexOf(lineFeed, start)) >= 0; start = end + 1) {
    lines.push(bytes.subarray(start, end));
  }
  return lines;
}

/** The number of bytes that belong to whole lines, line feeds included. */
export function countWholeLineBytes(bytes: Buffer): number {
  return bytes.lastIndexOf(lineFeed) + 1;
}

/**
 * The last `count` whole lines, or fewer, of a file of `size` bytes, and the offset after them; `end` is 0 where there are none.
 */
export async function readLastLines(
  handle: FileHandle,
  size: number,
  count: number,
): Promise<{ lines: Buffer[]; end: number }> {
  for (let length = Math.min(firstReadBytes, size); ; length = Math.min(2 * length, size)) {
    const start = size - length;
    const bytes = await readBytes(handle, start, length);
    const lines = splitLines(bytes);
    // where the piece does not start at the beginning of the file, its first line is not complete
    if (start > 0) lines.shift();
    if (lines.length < count && start > 0) continue;
    return { lines: lines.slice(-count), end: start + countWholeLineBytes(bytes) };
  }
}

/** Reads bytes at an offset; fewer where the file ends before. */
export async function readBytes(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** Appends all bytes to a file that was opened for appending, with as many writes as that takes. */
export async function appendBytes(handle: FileHandle, bytes: Buffer): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += (await handle.write(bytes, written, undefined, null)).bytesWritten;
  }
}

/** Writes all bytes at an offset, with as many writes as that takes; not for a file that was opened for appending. */
export async function writeBytesAt(
  handle: FileHandle,
  bytes: Buffer,
  position: number,
): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, undefined, position + written);
    written += bytesWritten;
  }
}

const { O_APPEND, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

/**
 * The flags by purpose. All but `read` allow reading and writing; `write` and `create` create the file, and `create` refuses one
 * that exists.
 */
const openFlags = {
  read: O_RDONLY,
  update: O_RDWR,
  write: O_RDWR | O_CREAT,
  append: O_RDWR | O_APPEND,
  create: O_RDWR | O_APPEND | O_CREAT | O_EXCL,
};

/** Opens a regular file, and refuses anything else of that name: a pipe or a device would block the reader. */
export async function openPlainFile(
  path: string,
  purpose: keyof typeof openFlags,
  mode?: number,
): Promise<FileHandle> {
  const handle = await open(path, openFlags[purpose] | O_NONBLOCK, mode);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Error(`${path} is not a plain file`);
}

/** The identity of a file, whatever its name. */
export type FileIdentity = { readonly device: string; readonly inode: string };

/** The identity of an open file. */
export function identify({ fd }: FileHandle): FileIdentity {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { device: String(dev), inode: String(ino) };
}

/** Whether both are the same file. */
export function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/**
 * Throws unless the path still leads to the open file, and the file has from `atLeast` to `atMost` bytes. It does not wait for
 * the disk, only for the file system's memory.
 */
export function requireInPlace(
  { fd }: FileHandle,
  path: string,
  size: { readonly atLeast: number; readonly atMost: number },
): void {
  const opened = fstatSync(fd, { bigint: true });
  const named = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!named) {
    throw new Error(`${path} was ${opened.nlink === 0n ? 'deleted' : 'renamed or moved away'}`);
  }
  if (named.ino !== opened.ino || named.dev !== opened.dev) {
    throw new Error(`${path} was replaced by another file`);
  }
  if (opened.size < BigInt(size.atLeast)) {
    throw new Error(`${path} was cut off: it has ${opened.size} bytes of ${size.atLeast}`);
  }
  if (opened.size > BigInt(size.atMost)) {
    throw new Error(`${path} was written by somebody else`);
  }
}

/** A chain's name and its own folder. */
export type ChainFolder = { readonly name: string; readonly path: string };

/** The chains in the folder of an audit log, including those whose files are gone; the folder itself where it is a chain. */
export async function listChains(folder: string): Promise<ChainFolder[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.some(({ name }) => isOfChain(name)))
    return [{ name: basename(folder), path: folder }];
  const chains: ChainFolder[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    if ((await readdir(path)).some(isOfChain)) chains.push({ name: entry.name, path });
  }
  return chains.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

function isOfChain(name: string): boolean {
  return name === endNoteName || chainFileName.test(name);
}
