import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.long.test.ts'],
    // a test hangs or it does not; how fast the machine is proves nothing
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    // a test that is skipped or focused proves nothing
    allowOnly: false,
    reporters: ['default', new CountReporter()],
  },
});
