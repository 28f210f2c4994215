import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The files that take minutes, the longest first. */
const longest = [
  'test/simulation/fleet/fleet.test.ts',
  'test/guardrails/no-key-call-without-allow.property.test.ts',
  'test/client/runtimes.test.ts',
  'test/cli/refused-keys.test.ts',
  'test/cli/workers.test.ts',
].map((path) => join(import.meta.dirname, '../..', path));

/** Starts the longest files first: begun last, one of them would keep the other workers idle at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const missing = longest.find((path) => !existsSync(path));
    if (missing) throw new Error(`${missing} is not there; test/support/longest-first.ts names it`);
    const place = ({ moduleId }: TestSpecification): number => {
      const index = longest.indexOf(moduleId);
      return index < 0 ? longest.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}
