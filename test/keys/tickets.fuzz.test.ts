import { expect, it } from 'vitest';
import { signGeneratedTickets } from './tickets-fuzz.ts';

it('signs 10,000 generated tickets with the low-s signature that recovers to the sender, viem recovering every twenty-fifth', async () => {
  const result = await signGeneratedTickets(10_000, 25);
  // the device has four forms of reply; every 25th takes viem through all of them
  expect(result).toEqual({ tickets: 10_000, highReplies: 5_000, viemRecoveries: 400 });
});
