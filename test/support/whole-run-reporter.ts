import { relative } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';

export type RanFile = {
  /** from the repository's root */
  readonly file: string;
  /** titles of the tests that passed, as they ran */
  readonly passed: readonly string[];
};

/** Fails a run in which `check` finds problems, a line each, with the files that ran; where only some tests were asked for, nothing. */
export class WholeRunReporter implements Reporter {
  readonly #check: (ran: readonly RanFile[]) => readonly string[];
  #root = '';
  #isWhole = true;

  constructor(check: (ran: readonly RanFile[]) => readonly string[]) {
    this.#check = check;
  }

  onInit({ config }: Vitest): void {
    this.#root = config.root;
    this.#isWhole = config.testNamePattern === undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (!this.#isWhole) return;
    const problems = this.#check(
      modules.map((module) => ({
        file: relative(this.#root, module.moduleId),
        passed: [...module.children.allTests('passed')].map(({ name }) => name),
      })),
    );
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) process.exitCode = 1;
  }
}
