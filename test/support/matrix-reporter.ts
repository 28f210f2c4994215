import { relative } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { type TestName, namedTests } from '../docs/fault-matrix.ts';

type Ran = {
  /** from the repository's root */
  readonly file: string;
  /** titles of the tests that passed, as they ran */
  readonly passed: readonly string[];
};

/** Whether a test that ran has this title of the source, `%s` and `$name` filled in. */
function isTitled(ran: string, title: string): boolean {
  const parts = title.split(/%[a-z#]|\$[\w.]+/);
  const pattern = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`, 's').test(ran);
}

/** The tests of these that belong to a file which ran, and did not run or did not pass in it. */
export function missingTests(named: readonly TestName[], ran: readonly Ran[]): TestName[] {
  return named.filter(([file, title]) => {
    const own = ran.find((each) => each.file === `test/${file}`);
    return own !== undefined && !own.passed.some((text) => isTitled(text, title));
  });
}

/** Fails a run in which a test of docs/fault-matrix.md did not run, of the files that ran; where only some tests were asked for, nothing. */
export class MatrixReporter implements Reporter {
  #root = '';
  #isWhole = true;

  onInit({ config }: Vitest): void {
    this.#root = config.root;
    this.#isWhole = config.testNamePattern === undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (!this.#isWhole) return;
    const ran = modules.map((module) => ({
      file: relative(this.#root, module.moduleId),
      passed: [...module.children.allTests('passed')].map(({ name }) => name),
    }));
    const missing = missingTests(namedTests, ran);
    for (const [file, title] of missing) {
      console.error(`docs/fault-matrix.md names a test that did not pass: test/${file}: ${title}`);
    }
    if (missing.length > 0) process.exitCode = 1;
  }
}
