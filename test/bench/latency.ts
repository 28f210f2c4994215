import { join } from 'node:path';
import { plugin } from './delayed-key.ts';
import { runLoad } from './load.ts';
import { type Figure, type Scenario, formatNumber, percentile } from './result.ts';
import { startSignerProcess } from './signer-process.ts';

const section = { delayMs: 20, concurrency: 32 };
const durationMs = 6_000;
const goals = new Map([
  [1, 1.15],
  [20, 1.3],
]);

/** Latency of a payment over a key that takes 20 ms, against one bare call of that key in the same run. */
export const latency: Scenario = async ({ folder, say }) => {
  say('one bare call after the other');
  const bareMs = await measureBareCalls();
  const bareP50 = percentile(bareMs, 0.5);
  const rows = [describe('one bare call', bareMs, bareP50)];
  const figures: Figure[] = [];
  const signer = await startSignerProcess({
    folder,
    key: { provider: join(import.meta.dirname, 'delayed-key.ts'), ...section },
  });
  try {
    for (const tickets of [1, 5, 20]) {
      say(`payments of ${tickets}, one after the other`);
      const { latenciesMs } = await runLoad(
        { kind: 'payments', url: signer.url, connections: 1, tickets, warmUpMs: 2_000, durationMs },
        signer.cpuMicroseconds,
      );
      rows.push(describe(`payment of ${tickets}`, latenciesMs, bareP50));
      const name = `p50 of a payment of ${tickets} over one bare call`;
      const atMost = goals.get(tickets);
      const value = percentile(latenciesMs, 0.5) / bareP50;
      figures.push(atMost === undefined ? { name, value } : { name, value, goal: { atMost } });
    }
  } finally {
    await signer.stop();
  }
  return {
    table: [['', 'p50 ms', 'p95 ms', 'p99 ms', 'p50 over bare'], ...rows],
    notes: ['payments of running sessions over HTTP; the key takes 32 calls at once'],
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

function describe(name: string, latenciesMs: readonly number[], bareP50: number): string[] {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(latenciesMs, share));
  return [
    name,
    ...[p50, p95, p99, (p50 ?? NaN) / bareP50].map((value) => formatNumber(value ?? NaN)),
  ];
}
