import { chmodSync, closeSync, openSync } from 'node:fs';

/**
 * Makes a file that only its owner may read and write, or takes everybody else's rights to it away. For files that SQLite opens,
 * which gives them the rights that the umask leaves, and its `-wal` and `-shm` files those of the database. The file itself is
 * never opened where it is there: closing it again would end the locks that this process has on it.
 */
export function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    chmodSync(path, 0o600);
  }
}
