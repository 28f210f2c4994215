import { expect, it } from 'vitest';
import { killRounds } from './kill-rounds.ts';
import { createRandom } from '../support/random.ts';

it('kept everything that clients received in audit log and ledger, killed 200 times under load', async () => {
  const report = await killRounds(200, createRandom('moments of kill').fraction);
  console.log(JSON.stringify(report));
  expect(report.payments).toBeGreaterThan(2_000);
  expect(report.unfinished).toBeGreaterThan(50);
});
