import { expect } from 'vitest';
import { type Tally, runJudged } from './judged-run.ts';
import { policyInTwoOrders, steps } from './random-policies.ts';
import { startUniqueSigner } from './ticket-draws.ts';
import { TroubledKey, concurrency } from './troubled-key.ts';
import { fc } from '../support/fast-check.ts';

const everything = [
  'allowed',
  'denied',
  'price above a limit',
  'window full',
  'not allowed',
  'repeated',
  'another payer',
  'fork counted',
  'fork denied',
  'client left',
  'key failed',
];

/**
 * Has a signer judge ten requests by each of `policies` random policy files, half of which are the other half with their
 * rules in another order. Clients leave and the key fails in the middle of some.
 */
export async function checkPolicies(policies: number): Promise<void> {
  const policy = 'default: deny';
  const key = new TroubledKey();
  const options = { policy, concurrency, reply: key.reply };
  const [counting, denying] = await Promise.all([
    startUniqueSigner(options),
    startUniqueSigner({ ...options, settings: { policy: { forks: 'deny' } } }),
  ]);
  const tally: Tally = new Map();
  try {
    await fc.assert(
      fc.asyncProperty(
        policyInTwoOrders,
        steps,
        fc.constantFrom('count' as const, 'deny' as const),
        async ({ policy, reordered }, steps, forks) => {
          const signer = forks === 'count' ? counting : denying;
          const paid = await runJudged(signer, policy, steps, { forks, tally, key });
          const paidReordered = await runJudged(signer, reordered, steps, { forks, tally, key });
          expect(paidReordered).toEqual(paid);
        },
      ),
      { numRuns: policies / 2 },
    );
  } finally {
    await Promise.all([counting.close(), denying.close()]);
  }
  expect([...tally.keys()].sort()).toEqual([...everything].sort());
}
