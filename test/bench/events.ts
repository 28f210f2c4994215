import { join } from 'node:path';
import { type Measured, runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 9;
const warmUpMs = 500;
const durationMs = 2_500;
/** Requests under way at once. */
const concurrency = 16;

/** What events cost, from the record of a payment to their delivery: the same payments with and without them, both with an audit log. */
export const events: Scenario = async ({ folder, say }) => {
  const start = (name: string, sections: string) =>
    startSignerProcess({
      folder,
      name,
      key: localKeystore,
      guarded: { yaml: `audit: { path: audit-${name} }\n${sections}`, apiKey: '' },
    });
  const without = await start('without', '');
  const out = join(folder, 'events.jsonl');
  const with_ = await start('with', `events: { file: { path: ${JSON.stringify(out)} } }\n`);
  const measured: Record<'without' | 'with', Measured[]> = { without: [], with: [] };
  const load = {
    kind: 'payments',
    connections: concurrency,
    tickets: 1,
    warmUpMs,
    durationMs,
  } as const;
  const measure = async (key: 'without' | 'with'): Promise<void> => {
    const { url, cpuMicroseconds } = key === 'with' ? with_ : without;
    measured[key].push(await runLoad({ ...load, url }, cpuMicroseconds));
  };
  try {
    for (let round = 0; round <= rounds; round += 1) {
      say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
      // which one is first changes, so that what the machine does meanwhile hits both alike
      const order =
        round % 2 === 0 ? (['without', 'with'] as const) : (['with', 'without'] as const);
      for (const key of order) await measure(key);
      if (round > 0) continue;
      measured.without.length = 0;
      measured.with.length = 0;
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
    ({ cpuMicroseconds }, round) =>
      cpuMicroseconds / (measured.without[round]?.cpuMicroseconds ?? NaN) - 1,
  );
  return {
    table: [
      ['', 'payments a second', 'CPU µs each', 'p50 ms'],
      row('audit log', 'without'),
      row('audit log and events', 'with'),
    ],
    notes: [
      `payments of one ticket in running sessions, one worker, ${concurrency} requests under way at once, local keystore, delivery to a ` +
        `file; CPU of all threads and processes of the signer; median of ${rounds} rounds, each of both, in turns`,
    ],
    figures: [
      {
        name: 'CPU of a payment that events add, of one without them',
        value: median(shares),
        goal: { atMost: 0.05 },
      },
    ],
  };
};
