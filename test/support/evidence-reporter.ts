import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';

type Ran = {
  /** from the repository's root */
  readonly file: string;
  /** tests that passed */
  readonly passed: number;
};

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
export function staleFigures(page: string, ran: readonly Ran[]): StaleFigure[] {
  return readFigures(page).flatMap(({ file, said }) => {
    const own = ran.find((each) => each.file === file);
    return own === undefined || own.passed === said ? [] : [{ file, said, passed: own.passed }];
  });
}

/** Fails a run whose counts are not those of docs/evidence.md, of the files that ran; where only some tests were asked for, nothing. */
export class EvidenceReporter implements Reporter {
  #root = '';
  #isWhole = true;

  onInit({ config }: Vitest): void {
    this.#root = config.root;
    this.#isWhole = config.testNamePattern === undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (!this.#isWhole) return;
    const page = readFileSync(join(this.#root, 'docs/evidence.md'), 'utf8');
    const ran = modules.map((module) => ({
      file: relative(this.#root, module.moduleId),
      passed: [...module.children.allTests('passed')].length,
    }));
    const stale = staleFigures(page, ran);
    for (const { file, said, passed } of stale) {
      console.error(`docs/evidence.md says ${said} passed, and ${passed} did: ${file}`);
    }
    if (stale.length > 0) process.exitCode = 1;
  }
}
