import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import type { RanFile } from './whole-run-reporter.ts';

export type StaleFigure = {
  readonly file: string;
  /** tests that passed, as the page says */
  readonly said: number;
  readonly passed: number;
};

/** Rows of the page that name a test file and how many of its tests passed. */
function readFigures(page: string): { readonly file: string; readonly said: number }[] {
  return page.split('\n').flatMap((row) => {
    const [, said] = / (\d+) passed\b/.exec(row) ?? [];
    const [, file] = /`npm test -- (test\/[^ `]+\.test\.ts)`/.exec(row) ?? [];
    return said && file ? [{ file, said: Number(said) }] : [];
  });
}

/** The figures of the page that are others than those of the files that ran. */
export function staleFigures(page: string, ran: readonly RanFile[]): StaleFigure[] {
  return readFigures(page).flatMap(({ file, said }) => {
    const own = ran.find((each) => each.file === file);
    const passed = own?.passed.length ?? said;
    return passed === said ? [] : [{ file, said, passed }];
  });
}

/** The counts of docs/evidence.md that are others, of the files that ran; a line each. */
export function checkEvidence(ran: readonly RanFile[]): string[] {
  const page = readFileSync(join(root, 'docs/evidence.md'), 'utf8');
  return staleFigures(page, ran).map(
    ({ file, said, passed }) => `docs/evidence.md says ${said} passed, and ${passed} did: ${file}`,
  );
}
