import { join } from 'node:path';
import { plugin } from './delayed-key.ts';
import { runLoad } from './load.ts';
import { type Figure, type Scenario, formatNumber, median, percentile } from './result.ts';
import { startSignerProcess } from './signer-process.ts';

const section = { delayMs: 20, concurrency: 32 };
const rounds = 5;
const durationMs = 2_000;
/** Some 10,000 payments, as many at once as the key takes calls: one after another they would take minutes to be compiled. */
const firstWarmUpMs = 15_000;
const goals = new Map([
  [1, 1.1],
  [20, 1.2],
]);

/** Latency of a payment over a key that takes 20 ms, against one bare call of that key, in alternating windows. */
export const latency: Scenario = async ({ folder, say }) => {
  const bareMs: number[][] = [];
  const payments = new Map<number, number[][]>([1, 5, 20].map((tickets) => [tickets, []]));
  const signer = await startSignerProcess({
    folder,
    key: { provider: join(import.meta.dirname, 'delayed-key.ts'), ...section },
  });
  const pay = (tickets: number, connections: number, duration: number) =>
    runLoad(
      {
        kind: 'payments',
        url: signer.url,
        connections,
        tickets,
        warmUpMs: 1_000,
        durationMs: duration,
      },
      signer.cpuMicroseconds,
    );
  try {
    say('warming up');
    for (const tickets of payments.keys()) await pay(tickets, section.concurrency, firstWarmUpMs);
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}: bare calls, then payments, one after the other`);
      bareMs.push(await measureBareCalls());
      for (const [tickets, windows] of payments) {
        const { latenciesMs } = await pay(tickets, 1, durationMs);
        windows.push([...latenciesMs]);
      }
    }
  } finally {
    await signer.stop();
  }
  const overBare = (windows: readonly number[][]): number =>
    median(windows.map((window, round) => median(window) / median(bareMs[round] ?? [])));
  const rows = [describe('one bare call', bareMs.flat(), 1)];
  const figures: Figure[] = [];
  for (const [tickets, windows] of payments) {
    const value = overBare(windows);
    rows.push(describe(`payment of ${tickets}`, windows.flat(), value));
    const name = `p50 of a payment of ${tickets} over one bare call`;
    const atMost = goals.get(tickets);
    figures.push(atMost === undefined ? { name, value } : { name, value, goal: { atMost } });
  }
  return {
    table: [['', 'p50 ms', 'p95 ms', 'p99 ms', 'p50 over bare'], ...rows],
    notes: [
      'payments of running sessions over HTTP, one after another, once the code is compiled; the key takes 32 calls at once',
      `ratios are medians of ${rounds} alternating windows`,
    ],
    figures,
  };
};

async function measureBareCalls(): Promise<number[]> {
  const key = await plugin.open(section, {
    resolvePath: (path) => path,
    readSecret: () => {
      throw new Error('this key has no secret');
    },
    log: () => undefined,
  });
  const { signal } = new AbortController();
  const latenciesMs: number[] = [];
  const endsAtMs = performance.now() + durationMs;
  while (performance.now() < endsAtMs) {
    const startedAtMs = performance.now();
    await key.signDigest(new Uint8Array(32).fill(7), { signal });
    latenciesMs.push(performance.now() - startedAtMs);
  }
  return latenciesMs;
}

function describe(name: string, latenciesMs: readonly number[], overBare: number): string[] {
  const times = [0.5, 0.95, 0.99].map((share) => percentile(latenciesMs, share));
  return [name, ...[...times, overBare].map(formatNumber)];
}
