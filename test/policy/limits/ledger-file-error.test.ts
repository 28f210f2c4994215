import { describe, expect, it } from 'vitest';
import {
  LedgerFileError,
  damagedFile,
  guardFile,
} from '../../../src/policy/limits/embedded/ledger-file-error.ts';

/** What an operator is told of a file that fails so. */
function told(error: unknown): LedgerFileError {
  try {
    guardFile('/spend.sqlite', () => {
      throw error;
    });
  } catch (caught) {
    if (caught instanceof LedgerFileError) return caught;
    throw caught;
  }
  throw new Error('it did not fail');
}

const noRoom = 'finds no room on its disk: make room';
const notWritable = "can't be opened for writing: let the user of the signer write into its folder";
const damaged =
  'is damaged: stop the signer and put back a copy, or move the file away, and all windows begin empty';

describe('a file of the ledger that can’t be used', () => {
  it.each([
    ['ENOSPC', noRoom],
    ['EDQUOT', noRoom],
    ['EACCES', notWritable],
    ['EPERM', notWritable],
    ['EROFS', notWritable],
    ['ENOTDIR', notWritable],
    ['EEXIST', notWritable],
    ['EIO', "can't be used"],
  ])('for %s: %s', (code, words) => {
    const error = told(Object.assign(new Error(`${code}: x`), { code }));
    expect(error).toMatchObject({
      name: 'LedgerFileError',
      message: `the spend ledger /spend.sqlite ${words}`,
      details: `${code}: x`,
    });
  });

  it.each([
    [3, notWritable],
    [5, 'is held by another process: end whatever else has it open'],
    [8, notWritable],
    [10, "can't be read or written: see to its disk, and to the room on it"],
    [266, "can't be read or written: see to its disk, and to the room on it"],
    [11, damaged],
    [13, noRoom],
    [14, notWritable],
    [26, damaged],
    [1, "can't be used"],
  ])('for SQLite’s %i: %s', (errcode, words) => {
    const error = Object.assign(new Error('x'), { code: 'ERR_SQLITE_ERROR', errcode });
    expect(told(error).message).toBe(`the spend ledger /spend.sqlite ${words}`);
  });

  it('is told once, and as damaged where its content is', () => {
    const error = damagedFile('/spend.sqlite', 'a hole');
    expect(error).toMatchObject({
      message: `the spend ledger /spend.sqlite ${damaged}`,
      details: 'a hole',
    });
    expect(told(error)).toBe(error);
    expect(told('text').details).toBe('text');
    expect(guardFile('/x', () => 7)).toBe(7);
  });
});
