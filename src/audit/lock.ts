import { join } from 'node:path';
import { RecordsError } from '../errors.ts';
import { makePrivate } from '../files/private-file.ts';

/** How long another process that is just ending is waited for. */
const patienceMs = 1_000;

/**
 * Makes sure that this process alone writes the chain in a folder, also among containers that share a volume: by the
 * kernel's lock on a file there, which ends with the process. Throws `AUDIT_UNAVAILABLE` when another one holds it.
 * Returns what lets go of it.
 */
export async function lockChain(folder: string): Promise<() => void> {
  // loaded where something is recorded only
  const { DatabaseSync } = await import('node:sqlite');
  const path = join(folder, 'lock');
  makePrivate(path);
  const database = new DatabaseSync(path, { timeout: patienceMs });
  try {
    database.exec('PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!(cause instanceof Error) || !cause.message.includes('locked')) throw cause;
    throw new RecordsError(
      'AUDIT_UNAVAILABLE',
      `another process writes the audit log in ${folder}; stop it, or give each instance an audit.path of its own`,
      { retryable: true, cause },
    );
  }
  return () => database.close();
}
