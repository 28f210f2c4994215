import { afterEach, beforeEach } from 'vitest';
import { measuringTests } from './suites.ts';
import { fc } from '../support/fast-check.ts';

// Set up in each test file of a mutation run: one failure kills, so neither what follows it need run, nor need a smaller
// counterexample be found.
fc.configureGlobal({ ...fc.readConfigureGlobal(), endOnFailure: true });

let hasFailed = false;
beforeEach((context) => {
  const measures = measuringTests.some((name) => context.task.name.startsWith(name));
  if (hasFailed || measures) context.skip();
});
afterEach((context) => {
  hasFailed ||= (context.task.result?.errors ?? []).length > 0;
});
