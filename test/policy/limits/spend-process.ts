import { openEmbeddedLedger } from '../../../src/policy/limits/embedded/embedded-ledger.ts';
import type { WindowCharge } from '../../../src/policy/limits/ledger.ts';

// A process of its own: spends one ticket at a time until it is refused, and tells of each that was granted.
// Arguments: folder, clients, window as JSON with a text for the limit.

const [folder = '', clients = '', window = ''] = process.argv.slice(2);
const { tickets, ...rest } = JSON.parse(window) as WindowCharge & { tickets: string };
const charge: WindowCharge = { ...rest, limits: { tickets: BigInt(tickets) } };
const spend = { ev: 0n, tickets: 1n, sessions: 0n };
const ledger = await openEmbeddedLedger({ folder, log: () => undefined });

async function spendUntilRefused(): Promise<void> {
  for (;;) {
    const { kind } = await ledger.reserve([charge], spend, new AbortController().signal);
    if (kind === 'exceeded') return;
    await new Promise((resolve) => process.stdout.write('1', resolve));
  }
}

await Promise.all(Array.from({ length: Number(clients) }, spendUntilRefused));
await ledger.close();
