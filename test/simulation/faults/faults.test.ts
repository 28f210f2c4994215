import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { catalogue } from './catalogue.ts';
import { applyEdit, searchFault } from './find-fault.ts';
import { faultRow, isAsExpected, summary } from './report.ts';

const repository = join(import.meta.dirname, '../../..');

describe('the catalogue of planted faults', () => {
  it('has at least 30, each with a name of its own', () => {
    const names = new Set(catalogue.map(({ name }) => name));
    expect(names.size).toBe(catalogue.length);
    expect(names.size).toBeGreaterThanOrEqual(30);
  });

  it.each(catalogue)('changes what is there: $name', ({ edits }) => {
    const texts = new Map<string, string>();
    for (const edit of edits) {
      const before = texts.get(edit.file) ?? readFileSync(join(repository, edit.file), 'utf8');
      const after = applyEdit(before, edit);
      expect(after).not.toBe(before);
      texts.set(edit.file, after);
    }
  });

  it('does not take an edit of what is not there, or is there twice', () => {
    const edit = { file: 'src/some.ts', find: 'a', replace: 'b' };
    expect(() => applyEdit('c', edit)).toThrow('src/some.ts has “a” 0 times');
    expect(() => applyEdit('a a', edit)).toThrow('src/some.ts has “a” 2 times');
    expect(applyEdit('cac', { ...edit, replace: '$&' })).toBe('c$&c');
  });

  it('is summed up by the faults that every search has found', () => {
    const after = (invariant: string, ...counts: readonly number[]) =>
      counts.map((schedules) => ({ kind: 'found', invariant, schedules }) as const);
    const fault = (name: string) => ({ name, mistake: '', invariants: ['books'], edits: [] });
    const faults = [
      { fault: fault('a'), findings: after('books', 9, 200, 10) },
      { fault: fault('b'), findings: after('books', 7, 1, 3) },
      { fault: fault('c'), findings: after('books', 40, 50, 60) },
      { fault: fault('by-another'), findings: after('window', 1, 1, 1) },
      { fault: fault('missed'), findings: [{ kind: 'missed', schedules: 9 } as const] },
    ];
    expect(summary(faults)).toBe(
      'faults: 5\nfound by every search: 3\nmedian of the medians: 10 schedules\nslowest: c, 50 schedules',
    );
    expect(summary([])).toContain('median of the medians: – schedules\nslowest: –');
  });
});

describe('the simulation of the fleet', () => {
  it.each(['redis-limit-before-spend', 'audit-after-answer', 'torn-end-not-cut'])(
    'finds %s',
    async (name) => {
      const fault = catalogue.find((candidate) => candidate.name === name);
      if (!fault) throw new Error(`there is no fault ${name}`);
      const findings = await searchFault(fault, [3], 500);
      expect(isAsExpected(fault, findings), faultRow(fault, findings)).toBe(true);
    },
  );
});
