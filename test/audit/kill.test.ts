import { expect, it } from 'vitest';
import { killRounds } from './kill-rounds.ts';
import { createRandom } from '../support/random.ts';

it(
  'kept everything that clients received in audit log and ledger, killed 6 times under load',
  { timeout: 120_000 },
  async () => {
    const { payments, tickets } = await killRounds(6, createRandom('moments of kill').fraction);
    expect(payments).toBeGreaterThan(6);
    expect(tickets).toBeGreaterThan(payments);
  },
);
