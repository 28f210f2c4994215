import { expect, it } from 'vitest';
import { signGeneratedTickets } from './tickets-fuzz.ts';

it('signs 10,000 generated tickets with low-s signatures, each of which viem recovers to the sender', async () => {
  const seed = Date.now() >>> 0;
  console.log(`seed ${seed}`);
  const result = await signGeneratedTickets(10_000, 1, seed);
  expect(result).toEqual({ tickets: 10_000, highReplies: 5_000, viemRecoveries: 10_000 });
});
