import type { Reporter, TestModule } from 'vitest/node';
import { howToRepeat } from './random.ts';

/**
 * Prints `N passed, N failed` as the last line, after a failure preceded by how to have the same random numbers again; a
 * skipped test or a file that broke counts as failed.
 */
export class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    for (const module of modules) {
      if (module.errors().length > 0) failed++;
      for (const test of module.children.allTests()) {
        if (test.result().state === 'passed') passed++;
        else failed++;
      }
    }
    process.once('exit', () => {
      if (failed > 0) console.log(howToRepeat);
      console.log(`${passed} passed, ${failed} failed`);
    });
    if (failed > 0) process.exitCode = 1;
  }
}
