import { type GuardedConfig, writeGuardedConfig } from './guarded-config.ts';
import { type Measured, runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 5;
const warmUpMs = 2_000;
const durationMs = 3_000;
/** Requests under way at once. */
const concurrency = 16;

/** What authentication, 50 rules, the embedded ledger and the audit log cost: the same payments with and without them. */
export const guardrails: Scenario = async ({ folder, say }) => {
  const guarded = writeGuardedConfig(folder);
  const start = (name: string, guardedBy?: GuardedConfig) =>
    startSignerProcess({
      folder,
      name,
      key: localKeystore,
      ...(guardedBy && { guarded: guardedBy }),
    });
  const without = await start('without');
  const with_ = await start('with', guarded);
  const measured: Record<'without' | 'with', Measured[]> = { without: [], with: [] };
  const load = {
    kind: 'payments',
    connections: concurrency,
    tickets: 1,
    warmUpMs,
    durationMs,
  } as const;
  try {
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}`);
      measured.without.push(await runLoad({ ...load, url: without.url }, without.cpuMicroseconds));
      measured.with.push(
        await runLoad({ ...load, url: with_.url, apiKey: guarded.apiKey }, with_.cpuMicroseconds),
      );
    }
  } finally {
    await without.stop();
    await with_.stop();
  }
  const middle = (key: keyof typeof measured, read: (one: Measured) => number): number =>
    median(measured[key].map(read));
  const row = (label: string, key: keyof typeof measured): string[] => [
    label,
    formatNumber(middle(key, ({ perSecond }) => perSecond)),
    formatNumber(middle(key, ({ cpuMicroseconds }) => cpuMicroseconds)),
    formatNumber(median(measured[key].map(({ latenciesMs }) => median(latenciesMs)))),
  ];
  const shares = measured.with.map(
    ({ perSecond }, round) => perSecond / (measured.without[round]?.perSecond ?? NaN),
  );
  return {
    table: [
      ['', 'payments a second', 'CPU µs each', 'p50 ms'],
      row('without', 'without'),
      row('API key, 50 rules, 3 windows, audit log', 'with'),
    ],
    notes: [
      `payments of one ticket in running sessions, one worker, ${concurrency} requests under way at once, local keystore; ` +
        `median of ${rounds} rounds, each round one after the other`,
    ],
    figures: [
      {
        name: 'payments a second with all guardrails, of those without',
        value: median(shares),
        goal: { atLeast: 0.75 },
      },
    ],
  };
};
