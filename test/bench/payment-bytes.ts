import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { as, firstPayment, nextPayment, startGuardedSigner } from '../guardrails/guarded-signer.ts';

// Counts what a payment leaves on the disk: `node test/bench/payment-bytes.ts`

/** Tickets of a payment, and how many payments: a session has 500 tickets before it is refreshed. */
const runs = [
  { tickets: 1, payments: 480 },
  { tickets: 20, payments: 23 },
];
const policy = `default: allow
rules: [{ id: hourly, window: { per: tenant, every: 1h, tickets: 1000000 } }]`;

/** The bytes of all files in a folder. */
function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
    .reduce((sum, size) => sum + size, 0);
}

const sizeOf = (path: string): string => (statSync(path).size / 1000).toFixed(0);

type Members = Readonly<Record<string, unknown>>;

/** The records of the log, one a line. */
function recordsIn(folder: string): string[] {
  return readdirSync(join(folder, 'server-1'))
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) =>
      readFileSync(join(folder, 'server-1', name), 'utf8')
        .trim()
        .split('\n'),
    );
}

const members = (line: string): Members => JSON.parse(line) as Members;

for (const { tickets, payments } of runs) {
  const signer = await startGuardedSigner({
    policy,
    settings: {
      events: { file: { path: 'events.jsonl' } },
      tickets: { maxTotalEv: '1 ether' },
      session: { ticketNonces: 'upstream' },
    },
  });
  try {
    const caller = as('acme:gateway');
    const log = join(signer.folder, 'audit');
    const store = join(signer.folder, 'store');
    type Sealed = { readonly State: string; readonly Sig: string };
    let sealed: Sealed | undefined;
    let logBytes = 0;
    let recordsBefore = 0;
    for (let made = 0; made <= payments; made += 1) {
      if (made === 1) {
        logBytes = bytesIn(log);
        recordsBefore = recordsIn(log).length;
      }
      const request = sealed ? nextPayment(sealed, tickets) : firstPayment(tickets);
      signer.now = (signer.now ?? 0n) + 1_000_000_000n;
      const answer = await signer.post(await request, caller);
      if (answer.status !== 200)
        throw new Error(`payment ${made}: ${answer.status} ${answer.text}`);
      sealed = (JSON.parse(answer.text) as { state: Sealed }).state;
    }
    const records = recordsIn(log).slice(recordsBefore);
    const events = records
      .map((line) => members(line)['event'])
      .filter((event) => event !== undefined);
    const eventBytes = events
      .map((event) => Buffer.byteLength(typeof event === 'string' ? event : JSON.stringify(event)))
      .reduce((sum, size) => sum + size, 0);
    const each = (bytes: number): string => (bytes / payments).toFixed(0);
    console.log(
      `${tickets} tickets: ${each(bytesIn(log) - logBytes)} bytes of the audit log a payment, in ${(records.length / payments).toFixed(1)} records, ` +
        `${each(eventBytes)} of them the event; after ${payments} payments the ledger has ${sizeOf(join(store, 'spend.sqlite'))} kB and a write-ahead log of ${sizeOf(join(store, 'spend.sqlite-wal'))} kB`,
    );
  } finally {
    await signer.close();
  }
}
