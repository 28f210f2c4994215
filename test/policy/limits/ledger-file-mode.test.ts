import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, expect, it, vi } from 'vitest';
import { LedgerFile } from '../../../src/policy/limits/embedded/ledger-file.ts';
import { Folder } from '../../cli/cli.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

function modesIn(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [
      name,
      (statSync(join(folder, name)).mode & 0o777).toString(8),
    ]),
  );
}

const privateFiles = {
  'spend.sqlite': '600',
  'spend.sqlite-shm': '600',
  'spend.sqlite-wal': '600',
};

it('the files of the spend ledger are for their owner alone, in a folder that is open to all', () => {
  using outer = new Folder();
  const folder = join(outer.path, 'store');
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const before = process.umask(0);
  try {
    const file = new LedgerFile(folder);
    file.answer([{ kind: 'check' }], 1);
    expect(modesIn(folder)).toEqual(privateFiles);
    file.close();
  } finally {
    process.umask(before);
  }
});

it('its folder, where it is made, is for its owner alone', () => {
  using outer = new Folder();
  const before = process.umask(0);
  try {
    new LedgerFile(join(outer.path, 'a', 'store')).close();
    expect(modesIn(outer.path)).toEqual({ a: '700' });
    expect(modesIn(join(outer.path, 'a'))).toEqual({ store: '700' });
  } finally {
    process.umask(before);
  }
});

it('its connection writes each transaction to the disk before it goes on, and waits for other processes', () => {
  using folder = new Folder();
  const prepare = vi.spyOn(DatabaseSync.prototype, 'prepare');
  const file = new LedgerFile(folder.path);
  const connections = new Set(prepare.mock.contexts as DatabaseSync[]);
  vi.restoreAllMocks();
  expect(connections.size).toBe(1);
  const [db = expect.unreachable()] = connections;
  const tell = (pragma: string): unknown =>
    Object.values(db.prepare(`PRAGMA ${pragma}`).get() ?? {})[0];
  const told = ['synchronous', 'journal_mode', 'foreign_keys', 'busy_timeout'].map(tell);
  // 2 is FULL: in WAL mode each commit is synced
  expect(told).toEqual([2, 'wal', 1, 2_000]);
  file.close();
});

it('a ledger that others may read, as earlier releases left it, is closed to them when it is opened', () => {
  using folder = new Folder();
  writeFileSync(join(folder.path, 'spend.sqlite'), '', { mode: 0o644 });
  const file = new LedgerFile(folder.path);
  file.answer([{ kind: 'check' }], 1);
  expect(modesIn(folder.path)).toEqual(privateFiles);
  file.close();
});
