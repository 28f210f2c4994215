import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.ts';
import { checkEvidence } from './test/support/evidence-reporter.ts';
import { LongestFirst } from './test/support/longest-first.ts';
import { checkMatrix } from './test/support/matrix-reporter.ts';
import { WholeRunReporter } from './test/support/whole-run-reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.long.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 240_000,
    // a condition that is waited for tells by itself when it is met; how soon depends on the machine
    expect: { poll: { timeout: 60_000 } },
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // a test that is skipped or focused proves nothing
    allowOnly: false,
    reporters: [
      'default',
      new CountReporter(),
      new WholeRunReporter(checkMatrix),
      new WholeRunReporter(checkEvidence),
    ],
  },
});
