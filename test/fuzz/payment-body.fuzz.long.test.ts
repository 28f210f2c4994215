import { expect, it } from 'vitest';
import { fuzzPaymentBodies } from './payment-body-fuzz.ts';

it('answers 100,000 generated bodies as they deserve, signs for valid ones alone, and keeps its memory', async () => {
  const report = await fuzzPaymentBodies(100_000);
  console.log(report);
  expect(report.statuses[200]).toBeGreaterThan(6_000);
  expect(report.statuses[400]).toBeGreaterThan(20_000);
  expect(report.keyCalls + report.shared).toBe(report.tickets + report.credentials);
  expect(report.shared).toBeLessThan(report.keyCalls / 10);
  expect(report.credentials).toBeGreaterThan(0);
  expect(report.credentials).toBeLessThan(report.statuses[200] ?? 0);
  const [first, last] = [report.memory[0], report.memory.at(-1)];
  if (!first || !last) throw new Error('memory was not measured');
  expect(last.heap - first.heap).toBeLessThan(16);
  expect(last.external - first.external).toBeLessThan(16);
  // signer, client and judge together; what allocators keep varies with the load of the machine
  expect(Math.max(...report.memory.map(({ resident }) => resident))).toBeLessThan(512);
});
