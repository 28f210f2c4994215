import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../cli/cli.ts';
import { missingTests } from '../support/matrix-reporter.ts';
import {
  type Invariant,
  faults,
  invariants,
  namedTests,
  titlesOf,
  withMatrix,
} from './fault-matrix.ts';

const page = readFileSync(join(root, 'docs/fault-matrix.md'), 'utf8');

describe('docs/fault-matrix.md', () => {
  it('is what `npm run docs:matrix` makes of the table', () => {
    expect(withMatrix(page)).toBe(page);
  });

  it('names only tests that there are', () => {
    const files = [...new Set(namedTests.map(([file]) => file))];
    expect(files.filter((file) => !existsSync(join(root, 'test', file)))).toEqual([]);
    const titles = new Map(files.map((file) => [file, titlesOf(`test/${file}`)]));
    expect(namedTests.filter(([file, title]) => !titles.get(file)?.includes(title))).toEqual([]);
  });

  it('has a test in each cell, or the reason why there is none', () => {
    for (const [fault, row] of Object.entries(faults)) {
      for (const column of Object.keys(invariants) as Invariant[]) {
        const cell = row[column];
        if (typeof cell === 'string') expect(cell, fault).toMatch(/\w+ \w+/);
        else expect(cell, `${fault}: ${column}`).not.toHaveLength(0);
      }
    }
  });

  it('has tests for each invariant with a third of the faults at least', () => {
    for (const column of Object.keys(invariants) as Invariant[]) {
      const tested = Object.values(faults).filter((row) => typeof row[column] !== 'string');
      expect(tested.length, column).toBeGreaterThan(Object.keys(faults).length / 3);
    }
  });
});

describe('a run of the tests', () => {
  const [one, other] = [
    ['keys/gate.test.ts', 'ends when the device %s'],
    ['keys/gate.test.ts', 'goes on'],
  ] as const;
  const file = 'test/keys/gate.test.ts';

  it('fails where a test of the matrix did not run, or did not pass', () => {
    const ran = [{ file, passed: ['ends when the device hangs', 'is another'] }];
    expect(missingTests([one, other], ran)).toEqual([other]);
    const all = [{ file, passed: ['ends when the device hangs', 'goes on'] }];
    expect(missingTests([one, other], all)).toEqual([]);
  });

  it('takes no longer title, and none of another file, for it', () => {
    expect(missingTests([other], [{ file, passed: ['goes on and on'] }])).toEqual([other]);
    expect(missingTests([other], [{ file: 'test/keys/other.test.ts', passed: [] }])).toEqual([]);
  });
});
