import { lstatSync, readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDurableFolder, syncFolder } from '../../files/durable-folder.ts';
import { RecordsError } from '../../errors.ts';
import { nameOf } from '../../foreign-error.ts';
import type { Pause, SwitchStore } from './signing-switch.ts';

/** While a folder holds a file of this name nothing is signed, whatever the file contains. */
export const switchFileName = 'signing-paused.json';

const pauseSchema = z.object({ by: z.string(), reason: z.string(), since: z.string() });
/** The most bytes that are read of the file; it never has as many. */
const longestText = 4_096;
/** Anybody who may enter the folder may read it. */
const mode = 0o644;

/**
 * The switch as a file that all workers of an instance look for. As soon as it exists, every worker that looks sees it, so that
 * none has to be told. A look is one system call; where it fails, nothing is signed.
 */
export function openSwitchFile(folder: string): SwitchStore {
  const path = join(folder, switchFileName);

  function known(): Pause | undefined {
    try {
      // the file itself and not what it may link to: a dangling link counts as the file
      if (!lstatSync(path, { throwIfNoEntry: false })) return undefined;
    } catch (cause) {
      throw unavailable(path, 'looked at', cause);
    }
    return readPause(path);
  }

  return {
    known,
    read: () => Promise.resolve().then(known),
    async write(pause) {
      try {
        if (pause) await replace(folder, path, `${JSON.stringify(pause)}\n`);
        else await rm(path, { force: true });
        await syncFolder(folder);
      } catch (cause) {
        throw unavailable(path, 'written', cause);
      }
    },
  };
}

/** A pause that can't be read, or was put there by other means, has no author and no reason. */
function readPause(path: string): Pause {
  const unknown = { by: '', reason: '', since: '' };
  try {
    const text = readFileSync(path, 'utf8').slice(0, longestText);
    return pauseSchema.safeParse(JSON.parse(text)).data ?? unknown;
  } catch {
    return unknown;
  }
}

/**
 * Replaces the file. The whole content is on disk before the name leads to it. A full disk that has no room for the content has some for
 * the name, which stops signing all by itself: then the pause has no author and no reason.
 */
async function replace(folder: string, path: string, text: string): Promise<void> {
  makeDurableFolder(folder, 0o750);
  const temporary = `${path}.${process.pid}`;
  const handle = await open(temporary, 'w', mode);
  try {
    await handle.chmod(mode);
    await handle.writeFile(text).catch(async (error: unknown) => {
      if (nameOf(error) !== 'ENOSPC' && nameOf(error) !== 'EDQUOT') throw error;
      await handle.truncate();
    });
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
}

function unavailable(path: string, verb: 'looked at' | 'written', cause: unknown): RecordsError {
  return new RecordsError(
    'SIGNING_SWITCH_UNAVAILABLE',
    `the switch that stops signing, ${path}, can't be ${verb}: ${nameOf(cause)}`,
    { retryable: true, cause },
  );
}
