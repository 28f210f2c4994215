import { describe, expect, it } from 'vitest';
import { countKeyCalls } from './count-key-calls.ts';

describe('key calls', () => {
  it('are N for a payment of N tickets in a running session, and one more for its first payment', async () => {
    const counted = await countKeyCalls([1, 2, 5, 20, 100]);
    expect(counted).toEqual(
      [1, 2, 5, 20, 100].map((tickets) => ({
        tickets,
        first: tickets + 1,
        running: [tickets, tickets, tickets],
      })),
    );
  });
});
