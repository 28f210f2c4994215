import { expect, it } from 'vitest';
import { fuzzPaymentBodies } from './payment-body-fuzz.ts';

it('answers 5,000 generated bodies as they deserve, signs for valid ones alone, and keeps its memory', async () => {
  const report = await fuzzPaymentBodies(5_000);
  console.log(report);
  expect(report.statuses[200]).toBeGreaterThan(300);
  expect(report.statuses[400]).toBeGreaterThan(1_000);
  expect(report.keyCalls + report.shared).toBe(report.tickets + report.credentials);
  expect(report.shared).toBeLessThan(report.keyCalls / 10);
  expect(report.credentials).toBeGreaterThan(0);
  expect(report.credentials).toBeLessThan(report.statuses[200] ?? 0);
  const [first, last] = [report.memory[0], report.memory.at(-1)];
  if (!first || !last) throw new Error('memory was not measured');
  expect(last.heap - first.heap).toBeLessThan(16);
  expect(last.external - first.external).toBeLessThan(16);
});
