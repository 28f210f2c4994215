import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SpendFile } from '../../../src/policy/limits/spend-file.ts';
import { Folder } from '../../cli/cli.ts';

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
    const file = new SpendFile(folder);
    file.answer([{ kind: 'check' }], 1);
    expect(modesIn(folder)).toEqual(privateFiles);
    file.close();
  } finally {
    process.umask(before);
  }
});

it('a ledger that others may read, as earlier releases left it, is closed to them when it is opened', () => {
  using folder = new Folder();
  writeFileSync(join(folder.path, 'spend.sqlite'), '', { mode: 0o644 });
  const file = new SpendFile(folder.path);
  file.answer([{ kind: 'check' }], 1);
  expect(modesIn(folder.path)).toEqual(privateFiles);
  file.close();
});
