import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Kernel, Owner } from './kernel.ts';
import { realDatabase } from './platform.ts';

/** FULL, of `PRAGMA synchronous` */
const syncsEachCommit = 2;

/** An in-memory database, with what was done to it that the next schedule need not do again. */
type File = {
  readonly database: DatabaseSync;
  readonly statements: Map<string, StatementSync>;
  /** texts that have made tables in it */
  readonly schemas: Set<string>;
};

/** Empty ones of earlier schedules: tables and prepared statements cost more than all that a schedule does with them. */
const emptied: File[] = [];

function takeFile(): File {
  return (
    emptied.pop() ?? {
      database: new realDatabase(':memory:'),
      statements: new Map(),
      schemas: new Set(),
    }
  );
}

/** Leaves nothing in it but its tables. */
function giveBack(file: File): void {
  const { database } = file;
  if (database.isTransaction) {
    database.close();
    return;
  }
  database.exec('PRAGMA foreign_keys = OFF; PRAGMA user_version = 0; PRAGMA synchronous = FULL');
  for (const { name } of prepareOnce(
    file,
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  ).all() as { name: string }[]) {
    database.exec(`DELETE FROM ${name}`);
  }
  emptied.push(file);
}

function prepareOnce({ database, statements }: File, sql: string): StatementSync {
  const known = statements.get(sql) ?? database.prepare(sql);
  statements.set(sql, known);
  return known;
}

/** Runs statements; of those that have made this file's tables before, only the others. */
function execute({ database, schemas }: File, sql: string): void {
  if (!sql.includes('CREATE TABLE')) database.exec(sql);
  else if (!schemas.has(sql)) {
    database.exec(sql);
    schemas.add(sql);
  } else {
    for (const statement of sql.split(';')) {
      if (!statement.includes('CREATE')) database.exec(statement);
    }
  }
}

/**
 * The SQLite files of the instances: real SQLite in memory, which a process leaves behind when it dies; and the kernel's lock
 * on a chain, which it does not.
 */
export class Databases {
  readonly #kernel: Kernel;
  readonly #files = new Map<string, File>();
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
    for (const [path, file] of this.#files) if (nameOf(path) === name) return file.database;
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
    for (const file of this.#files.values()) giveBack(file);
    this.#files.clear();
  }

  #forget(name: string): void {
    for (const [path, file] of this.#files) {
      if (nameOf(path) !== name) continue;
      giveBack(file);
      this.#files.delete(path);
    }
  }

  #openFile(path: string): object {
    const file = this.#files.get(path) ?? takeFile();
    this.#files.set(path, file);
    const refuseWhenFull = (): void => {
      if (!this.#full.has(nameOf(path))) return;
      throw Object.assign(new Error('database or disk is full'), {
        code: 'ERR_SQLITE_ERROR',
        errcode: 13,
      });
    };
    return {
      exec: (sql: string) => execute(file, sql),
      prepare(sql: string) {
        const statement = prepareOnce(file, sql);
        if (sql !== 'COMMIT') return statement;
        return {
          run() {
            refuseWhenFull();
            return statement.run();
          },
        };
      },
      get isTransaction() {
        return file.database.isTransaction;
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
