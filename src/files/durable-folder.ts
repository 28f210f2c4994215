import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder where it is missing, with those above it, so that all of them are still there after a power failure. It holds up
 * the process while the disk writes, which it does only where a folder was missing. Throws what the file system says.
 */
export function makeDurableFolder(path: string, mode: number): void {
  const made = mkdirSync(path, { recursive: true, mode });
  if (made === undefined) return;
  const highest = dirname(resolve(made));
  // what makes a folder durable is the one that it is in
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

/** Makes what was created in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}
