import type { DatabaseSync } from 'node:sqlite';
import type { Kernel, Owner } from './kernel.ts';
import { realDatabase } from './platform.ts';

/** FULL, of `PRAGMA synchronous` */
const syncsEachCommit = 2;

/**
 * The SQLite files of the instances: real SQLite in memory, which a process leaves behind when it dies; and the kernel's lock
 * on a chain, which it does not.
 */
export class Databases {
  readonly #kernel: Kernel;
  readonly #files = new Map<string, DatabaseSync>();
  readonly #locks = new Map<string, Owner>();
  readonly #full = new Set<string>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  setFull(name: string, isFull: boolean): void {
    if (isFull) this.#full.add(name);
    else this.#full.delete(name);
  }

  open(path: string): object {
    return path.endsWith('/lock') ? this.#openLock(path) : this.#openFile(path);
  }

  /** The data below a folder, for whoever looks at it from outside. */
  find(name: string): DatabaseSync | undefined {
    for (const [path, file] of this.#files) if (nameOf(path) === name) return file;
    return undefined;
  }

  /** What was committed is there after the power went where each commit was synced, and is lost where it was not. */
  loseUnsynced(name: string): void {
    const file = this.find(name);
    if (!file) return;
    const { synchronous } = file.prepare('PRAGMA synchronous').get() as { synchronous: number };
    if (synchronous < syncsEachCommit) this.#forget(name);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #forget(name: string): void {
    for (const [path, file] of this.#files) {
      if (nameOf(path) !== name) continue;
      file.close();
      this.#files.delete(path);
    }
  }

  #openFile(path: string): object {
    const file = this.#files.get(path) ?? new realDatabase(':memory:');
    this.#files.set(path, file);
    const refuseWhenFull = (): void => {
      if (!this.#full.has(nameOf(path))) return;
      throw Object.assign(new Error('database or disk is full'), {
        code: 'ERR_SQLITE_ERROR',
        errcode: 13,
      });
    };
    return {
      exec: (sql: string) => file.exec(sql),
      prepare(sql: string) {
        const statement = file.prepare(sql);
        if (sql !== 'COMMIT') return statement;
        return {
          run() {
            refuseWhenFull();
            return statement.run();
          },
        };
      },
      get isTransaction() {
        return file.isTransaction;
      },
      close: () => undefined,
    };
  }

  #openLock(path: string): object {
    const { owner } = this.#kernel;
    return {
      exec: () => {
        const holder = this.#locks.get(path);
        if (holder?.isAlive === true && holder !== owner) throw new Error('database is locked');
        this.#locks.set(path, owner);
      },
      close: () => {
        if (this.#locks.get(path) === owner) this.#locks.delete(path);
      },
    };
  }
}

function nameOf(path: string): string {
  return path.split('/')[2] ?? '';
}
