import { chmodSync, closeSync, openSync } from 'node:fs';

/**
 * Creates a file that only its owner may read and write, or takes those rights away from everybody else where the file exists. It
 * is for SQLite databases: SQLite creates them with the rights that the umask leaves, and gives its `-wal` and `-shm` files the
 * rights of the database. An existing file is never opened, since closing it again would release the locks that this process
 * holds on it. Throws the file system's own errors.
 */
export function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    chmodSync(path, 0o600);
  }
}
