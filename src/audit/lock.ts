import { join } from 'node:path';
import { RecordsError } from '../errors.ts';
import { makePrivate } from '../files/private-file.ts';

/** How long another process, which may just be ending, is waited for. */
const patienceMs = 1_000;

/**
 * Makes sure that only this process writes the chain in a folder, also among containers that share a volume. It uses the kernel's
 * lock on a file in the folder, which ends with the process. Returns the function that releases it. Throws `AUDIT_UNAVAILABLE`
 * when another process holds it.
 */
export async function lockChain(folder: string): Promise<() => void> {
  // loaded only where something is recorded
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
