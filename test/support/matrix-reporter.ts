import { type TestName, namedTests } from '../docs/fault-matrix.ts';
import type { RanFile } from './whole-run-reporter.ts';

/** Whether a test that ran has this title of the source, `%s` and `$name` filled in. */
function isTitled(ran: string, title: string): boolean {
  const parts = title.split(/%[a-z#]|\$[\w.]+/);
  const pattern = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`, 's').test(ran);
}

/** The tests of these that belong to a file which ran, and did not run or did not pass in it. */
export function missingTests(named: readonly TestName[], ran: readonly RanFile[]): TestName[] {
  return named.filter(([file, title]) => {
    const own = ran.find((each) => each.file === `test/${file}`);
    return own !== undefined && !own.passed.some((text) => isTitled(text, title));
  });
}

/** The tests of docs/fault-matrix.md that did not run or did not pass, of the files that ran; a line each. */
export function checkMatrix(ran: readonly RanFile[]): string[] {
  return missingTests(namedTests, ran).map(
    ([file, title]) =>
      `docs/fault-matrix.md names a test that did not pass: test/${file}: ${title}`,
  );
}
