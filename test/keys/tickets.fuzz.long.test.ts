import { expect, it } from 'vitest';
import { signGeneratedTickets } from './tickets-fuzz.ts';

it('signs 10,000 generated tickets with low-s signatures, each of which viem recovers to the sender', async () => {
  const result = await signGeneratedTickets(10_000, 1);
  expect(result).toEqual({ tickets: 10_000, highReplies: 5_000, viemRecoveries: 10_000 });
});
