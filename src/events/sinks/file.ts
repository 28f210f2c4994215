import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readBytes } from '../../audit/files.ts';
import { syncFolder } from '../../files/durable-folder.ts';
import { nameOf } from '../../foreign-error.ts';
import { DeliveryError, type EventSink } from '../sink.ts';

const fileMode = 0o640;
const lineFeed = '\n';

/**
 * Appends events to a file, one on each line. A file that another program has moved away is created anew. A line that a full disk
 * has cut short is removed at once; one that a crash has cut short stays, on a line of its own.
 */
export function createFileSink({ path }: { readonly path: string }): EventSink {
  return {
    name: 'file',
    async send(events) {
      try {
        await using handle = await openForAppending(path);
        await append(handle, events.map(({ value }) => `${value}${lineFeed}`).join(''));
        await handle.datasync();
      } catch (cause) {
        throw new DeliveryError(`${path}: ${nameOf(cause)}`, { cause });
      }
    },
    close: () => Promise.resolve(),
  };
}

async function append(handle: FileHandle, lines: string): Promise<void> {
  const { size } = await handle.stat();
  const last = size > 0 ? (await readBytes(handle, size - 1, 1)).toString() : lineFeed;
  try {
    await handle.appendFile(last === lineFeed ? lines : `${lineFeed}${lines}`);
  } catch (error) {
    await handle.truncate(size).catch(() => undefined);
    throw error;
  }
}

async function openForAppending(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'ax+', fileMode).then(async (handle) => {
      await syncFolder(dirname(path));
      return handle;
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return open(path, 'a+', fileMode);
  }
}
