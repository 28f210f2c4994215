import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder where it is missing, with those above it, so that all of them survive a power failure. It blocks the process
 * while the disk writes, but only where a folder was missing. Throws the file system's own errors.
 */
export function makeDurableFolder(path: string, mode: number): void {
  const made = mkdirSync(path, { recursive: true, mode });
  if (made === undefined) return;
  const highest = dirname(resolve(made));
  // a folder becomes durable when the folder above it, which holds its entry, is synced
  for (let parent = dirname(resolve(path)); ; parent = dirname(parent)) {
    const fd = openSync(parent, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (parent.length <= highest.length) return;
  }
}

/**
 * Makes the entries of a folder durable: files that were created, renamed or deleted in it. Throws the file system's own errors.
 */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}
