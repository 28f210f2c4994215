import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../../durable-folder.ts';
import type { EventSink } from '../sink.ts';

const fileMode = 0o640;

/** Appends events to a file, one a line. A file that another program has moved away is made anew. */
export function createFileSink({ path }: { readonly path: string }): EventSink {
  return {
    name: 'file',
    async send(events) {
      const handle = await openForAppending(path);
      try {
        await handle.appendFile(events.map(({ value }) => `${value}\n`).join(''));
        await handle.datasync();
      } finally {
        await handle.close();
      }
    },
    close: () => Promise.resolve(),
  };
}

async function openForAppending(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'ax', fileMode).then(async (handle) => {
      await syncFolder(dirname(path));
      return handle;
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return open(path, 'a', fileMode);
  }
}
