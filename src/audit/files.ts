import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** One file of a chain; they are numbered from 1 without a gap. */
export type ChainFile = { readonly number: number; readonly path: string };

export function chainFile(folder: string, number: number): ChainFile {
  return { number, path: join(folder, `${String(number).padStart(6, '0')}.jsonl`) };
}

/** The files of a chain in their order. */
export async function listChainFiles(folder: string): Promise<ChainFile[]> {
  const names = await readdir(folder);
  return names
    .flatMap((name) => /^(\d{6,})\.jsonl$/.exec(name)?.[1] ?? [])
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

/** How many of the bytes belong to whole lines, line feeds included. */
export function countWholeLineBytes(bytes: Buffer): number {
  return bytes.lastIndexOf(lineFeed) + 1;
}

/**
 * The last `count` whole lines, or fewer, of a file of `size` bytes, and the offset after them. Without any, `end` is 0.
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
    // where it does not start with the file, the first line lacks its beginning
    if (start > 0) lines.shift();
    if (lines.length < count && start > 0) continue;
    return { lines: lines.slice(-count), end: start + countWholeLineBytes(bytes) };
  }
}

/** Fewer bytes where the file ends before. */
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

/** Writes all of it, however many writes that takes. */
export async function writeBytes(
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

/** Makes what was created in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** A chain's name and its own folder. */
export type ChainFolder = { readonly name: string; readonly path: string };

/** The chains in the folder of an audit log; the folder itself where it is one. */
export async function listChains(folder: string): Promise<ChainFolder[]> {
  if ((await listChainFiles(folder)).length > 0) return [{ name: basename(folder), path: folder }];
  const chains: ChainFolder[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && (await listChainFiles(path)).length > 0) {
      chains.push({ name: entry.name, path });
    }
  }
  return chains.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
