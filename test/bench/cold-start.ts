import { writeGuardedConfig } from './guarded-config.ts';
import { type Measured, runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 3;
const connections = 64;
const windowMs = 10_000;
const warmUpMs = 30_000;

/** The first ten seconds of payments after the start, against ten seconds of the same process once its code is compiled. */
export const coldStart: Scenario = async ({ folder, say }) => {
  const guarded = writeGuardedConfig(folder, { hasRules: false });
  const first: Measured[] = [];
  const steady: Measured[] = [];
  const residentBytes: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    say(`round ${round} of ${rounds}`);
    const signer = await startSignerProcess({ folder, key: localKeystore, guarded });
    const { url } = signer;
    const load = {
      kind: 'payments',
      url,
      apiKey: guarded.apiKey,
      connections,
      tickets: 1,
    } as const;
    try {
      const pay = (pauseMs: number): Promise<Measured> =>
        runLoad({ ...load, warmUpMs: pauseMs, durationMs: windowMs }, signer.cpuMicroseconds);
      first.push(await pay(0));
      steady.push(await pay(warmUpMs));
      residentBytes.push(signer.residentBytes());
    } finally {
      await signer.stop();
    }
  }
  const row = (name: string, measured: readonly Measured[]): string[] => [
    name,
    formatNumber(median(measured.map(({ perSecond }) => perSecond))),
    formatNumber(median(measured.map(({ cpuMicroseconds }) => cpuMicroseconds))),
  ];
  const shareOf = (read: (measured: Measured) => number): number[] =>
    first.map((measured, round) => {
      const later = steady[round];
      return later ? read(measured) / read(later) : NaN;
    });
  return {
    table: [
      ['', 'payments a second', 'CPU µs each'],
      row('first 10 s', first),
      row('after 30 s more', steady),
    ],
    notes: [`one worker, local keystore, ${connections} connections; median of ${rounds} starts`],
    figures: [
      {
        name: 'payments a second of the first 10 s, of the steady state',
        value: median(shareOf(({ perSecond }) => perSecond)),
        goal: { atLeast: 0.8 },
      },
      {
        name: 'CPU of a payment in the first 10 s, of the steady state',
        value: median(shareOf(({ cpuMicroseconds }) => cpuMicroseconds)),
      },
      {
        name: 'resident memory of the worker, MB',
        value: median(residentBytes) / 1e6,
        goal: { atMost: 200 },
      },
    ],
  };
};
