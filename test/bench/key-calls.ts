import { countKeyCalls } from './count-key-calls.ts';
import type { Scenario } from './result.ts';

const ticketCounts = [1, 2, 5, 20, 100];

/** Key calls of payments of N tickets, counted at the provider. The floor is N: each ticket has its own signature. */
export const keyCalls: Scenario = async () => {
  const counted = await countKeyCalls(ticketCounts);
  return {
    table: [
      ['tickets', 'first payment', 'running session', 'go-livepeer'],
      ...counted.map(({ tickets, first, running }) =>
        [tickets, first, running.join(', '), tickets + 2].map(String),
      ),
    ],
    notes: ["go-livepeer's design: N tickets, segment credentials, session state"],
    figures: counted.flatMap(({ tickets, first, running }) => [
      {
        name: `key calls of a first payment of ${tickets}`,
        value: first,
        goal: { exactly: tickets + 1 },
      },
      {
        name: `key calls of a running session's payment of ${tickets}`,
        value: Math.max(...running),
        goal: { exactly: tickets },
      },
    ]),
  };
};
