import { DatabaseSync } from 'node:sqlite';
import type { Spend } from '../ledger.ts';
import { LedgerFileError, damagedFile } from './ledger-file-error.ts';

const schemaVersion = 1;

/** Amounts are decimal text, since wei exceed SQLite's 64-bit integers. */
const schema = `
  CREATE TABLE clock (time_ms INTEGER NOT NULL) STRICT;
  INSERT INTO clock VALUES (0);
  CREATE TABLE counters (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    scope TEXT NOT NULL,
    window_ms INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ev TEXT NOT NULL,
    tickets TEXT NOT NULL,
    sessions TEXT NOT NULL,
    UNIQUE (rule, scope, window_ms)
  ) STRICT;
  CREATE TABLE slots (
    counter INTEGER NOT NULL REFERENCES counters (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    ev TEXT NOT NULL,
    tickets TEXT NOT NULL,
    sessions TEXT NOT NULL,
    PRIMARY KEY (counter, slot)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`;

/** Added to files that don't have it yet; a program that does not know it can still use such a file. */
const sessionsSchema = `
  CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    ev TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires_ms);
`;

/** How long one process waits for the transaction of another. */
const busyTimeoutMs = 2_000;

/** Opens or creates the database. Throws SQLite's errors, and `LedgerFileError`. */
export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    const verdict = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
    if (verdict.quick_check !== 'ok') throw damagedFile(path, verdict.quick_check);
    db.exec('BEGIN IMMEDIATE');
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as {
      user_version: number;
    };
    if (version > schemaVersion) {
      throw new LedgerFileError(
        `the spend ledger ${path} has version ${version} of its format, and this program knows ${schemaVersion}: use the newer program`,
      );
    }
    if (version === 0) db.exec(schema);
    db.exec(sessionsSchema);
    db.exec('COMMIT');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

export type Statements = ReturnType<typeof prepareStatements>;

/** Prepares the ledger's statements. */
export function prepareStatements(db: DatabaseSync) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    readClock: db.prepare('SELECT time_ms FROM clock'),
    writeClock: db.prepare('UPDATE clock SET time_ms = ?'),
    readCounter: db.prepare(
      'SELECT id, slot, ev, tickets, sessions FROM counters WHERE rule = ? AND scope = ? AND window_ms = ?',
    ),
    insertCounter: db.prepare(
      'INSERT INTO counters (rule, scope, window_ms, slot, expires_ms, ev, tickets, sessions) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    updateCounter: db.prepare(
      'UPDATE counters SET slot = ?, expires_ms = ?, ev = ?, tickets = ?, sessions = ? WHERE id = ?',
    ),
    deleteCounters: db.prepare(
      'DELETE FROM counters WHERE id IN (SELECT id FROM counters WHERE expires_ms <= ? LIMIT ?)',
    ),
    listCounters: db.prepare(
      'SELECT id, rule, scope, window_ms, slot FROM counters WHERE expires_ms > ? ORDER BY rule, scope, window_ms',
    ),
    listSlots: db.prepare(
      'SELECT slot, ev, tickets, sessions FROM slots WHERE counter = ? AND slot >= ? AND slot <= ? ORDER BY slot',
    ),
    listSessions: db.prepare(
      'SELECT id, ev, expires_ms FROM sessions WHERE expires_ms > ? ORDER BY id',
    ),
    readSession: db.prepare('SELECT ev FROM sessions WHERE id = ?'),
    writeSession: db.prepare('INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)'),
    updateSession: db.prepare('UPDATE sessions SET ev = ? WHERE id = ?'),
    deleteSession: db.prepare('DELETE FROM sessions WHERE id = ?'),
    deleteSessions: db.prepare(
      'DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_ms <= ? LIMIT ?)',
    ),
    readSlot: db.prepare('SELECT ev, tickets, sessions FROM slots WHERE counter = ? AND slot = ?'),
    readSlots: db.prepare(
      'SELECT slot, ev, tickets, sessions FROM slots WHERE counter = ? AND slot < ? ORDER BY slot',
    ),
    writeSlot: db.prepare('INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?)'),
    deleteSlots: db.prepare(
      'DELETE FROM slots WHERE counter = ? AND slot < ? RETURNING ev, tickets, sessions',
    ),
  };
}

/** Rows of the ledger's tables, as its statements give them. */
export type SpendRow = { readonly [Kind in keyof Spend]: string };
export type SlotRow = SpendRow & { readonly slot: number };
export type SessionRow = { readonly id: string; readonly ev: string; readonly expires_ms: number };
export type ListedCounter = {
  readonly id: number;
  readonly rule: string;
  readonly scope: string;
  readonly window_ms: number;
  readonly slot: number;
};
export type CounterRow = SpendRow & { readonly id: number; readonly slot: number };

/** A spend, from the columns of a row. */
export function parseSpend({ ev, tickets, sessions }: SpendRow): Spend {
  return { ev: BigInt(ev), tickets: BigInt(tickets), sessions: BigInt(sessions) };
}

/** A spend as the values of its columns. */
export function formatSpend({ ev, tickets, sessions }: Spend) {
  return [ev.toString(), tickets.toString(), sessions.toString()] as const;
}
