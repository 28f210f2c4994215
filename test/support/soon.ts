import { vi } from 'vitest';

/** Waits until `check` no longer throws, and gives its result; the machine may take its time. */
export function soon<Result>(check: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(check, { timeout: 60_000, interval: 10 });
}
