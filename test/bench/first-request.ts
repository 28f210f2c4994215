import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from './connection.ts';
import { writeGuardedConfig } from './guarded-config.ts';
import { runLoad } from './load.ts';
import { PayingSession } from './paying-session.ts';
import { type Scenario, formatNumber, percentile } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const connections = 64;
const tickets = 20;
const warmUpMs = 10_000;
const durationMs = 30_000;

/** How long somebody new waits for a first payment, its connection included, while others keep one worker saturated. */
export const firstRequest: Scenario = async ({ folder, say }) => {
  const guarded = writeGuardedConfig(folder, { hasRules: false });
  const signer = await startSignerProcess({ folder, key: localKeystore, guarded });
  const { url } = signer;
  const { apiKey } = guarded;
  try {
    say(`${connections} connections pay with ${tickets} tickets, others come new`);
    const load = { kind: 'payments', url, apiKey, connections, tickets, warmUpMs } as const;
    const loaded = runLoad({ ...load, durationMs }, signer.cpuMicroseconds);
    await Promise.race([delay(warmUpMs), loaded]);
    const endsAtMs = performance.now() + durationMs - 1_000;
    const waitsMs: number[] = [];
    while (performance.now() < endsAtMs) {
      waitsMs.push(await payFirst(url, apiKey));
      await delay(50);
    }
    const { perSecond, latenciesMs } = await loaded;
    const p99 = percentile(waitsMs, 0.99);
    const row = (name: string, times: readonly number[]): string[] => [
      name,
      String(times.length),
      ...[0.5, 0.99, 1].map((share) => formatNumber(percentile(times, share))),
    ];
    return {
      table: [
        ['', 'requests', 'p50 ms', 'p99 ms', 'most ms'],
        row('first request on a new connection', waitsMs),
        row('payments of the others', latenciesMs),
      ],
      notes: [
        `one worker, local keystore, ${connections} connections that pay without a pause: ${formatNumber(perSecond)} payments of ${tickets} tickets a second`,
      ],
      figures: [
        {
          name: 'p99 of a first request at saturation, ms',
          value: p99,
          goal: { atMost: 500 },
        },
      ],
    };
  } finally {
    await signer.stop();
  }
};

/** Milliseconds from the beginning of the connection to the answer. */
async function payFirst(url: string, apiKey: string): Promise<number> {
  const session = new PayingSession(tickets);
  const startedAtMs = performance.now();
  const connection = await Connection.open(url, apiKey);
  const { status, text } = await connection.post('/generate-live-payment', session.request());
  const waitedMs = performance.now() - startedAtMs;
  connection.close();
  if (status !== 200) throw new Error(`status ${status}: ${text}`);
  return waitedMs;
}
