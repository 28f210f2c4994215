import { startOtlpCollector } from '../telemetry/otlp-collector.ts';
import { type Measured, runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { type SignerProcess, localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 7;
const warmUpMs = 500;
const durationMs = 2_000;
/** Requests under way at once. */
const concurrency = 16;

const variants = ['bare', 'off', 'sampled', 'on'] as const;

type Variant = (typeof variants)[number];

const labels: Readonly<Record<Variant, string>> = {
  bare: 'neither',
  off: 'metrics',
  sampled: 'metrics, traces of a tenth',
  on: 'metrics, traces of all',
};

/** What metrics and traces cost: the same payments without either, with metrics, and with traces too. */
export const telemetry: Scenario = async ({ folder, say }) => {
  const collector = await startOtlpCollector();
  const traced = (sampleRatio: number): string =>
    `traces: { otlp: { endpoint: "${collector.url}" }, sampleRatio: ${sampleRatio} }\n`;
  const sections: Readonly<Record<Variant, string>> = {
    bare: '',
    off: '',
    sampled: traced(0.1),
    on: traced(1),
  };
  await using opened = new AsyncDisposableStack();
  opened.defer(() => collector.close());
  const start = async (name: Variant): Promise<readonly [Variant, SignerProcess]> => {
    const preload = new URL('no-metrics.ts', import.meta.url).href;
    const signer = await startSignerProcess({
      folder,
      name,
      key: localKeystore,
      guarded: { yaml: `audit: { path: audit-${name} }\n${sections[name]}`, apiKey: '' },
      ...(name === 'bare' && { environment: { NODE_OPTIONS: `--import=${preload}` } }),
    });
    opened.defer(() => signer.stop());
    return [name, signer];
  };
  const signers: (readonly [Variant, SignerProcess])[] = [];
  for (const name of variants) signers.push(await start(name));
  const measured: Record<Variant, Measured[]> = { bare: [], off: [], sampled: [], on: [] };
  for (let round = 0; round <= rounds; round += 1) {
    say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    // which one is first changes, so that what the machine does meanwhile hits all alike
    const turn = round % variants.length;
    for (const [name, { url, cpuMicroseconds }] of [
      ...signers.slice(turn),
      ...signers.slice(0, turn),
    ]) {
      const load = { connections: concurrency, tickets: 1, warmUpMs, durationMs, url } as const;
      const one = await runLoad({ ...load, kind: 'payments' }, cpuMicroseconds);
      if (round > 0) measured[name].push(one);
    }
  }
  const middle = (name: Variant, read: (one: Measured) => number): number =>
    median(measured[name].map(read));
  const added = (name: Variant): number =>
    median(
      measured[name].map(
        ({ cpuMicroseconds }, round) =>
          cpuMicroseconds / (measured.bare[round]?.cpuMicroseconds ?? NaN) - 1,
      ),
    );
  return {
    table: [
      ['', 'payments a second', 'CPU µs each', 'p50 ms'],
      ...variants.map((name) => [
        labels[name],
        formatNumber(middle(name, ({ perSecond }) => perSecond)),
        formatNumber(middle(name, ({ cpuMicroseconds }) => cpuMicroseconds)),
        formatNumber(median(measured[name].map(({ latenciesMs }) => median(latenciesMs)))),
      ]),
    ],
    notes: [
      `payments of one ticket in running sessions, one worker, ${concurrency} requests under way at once, local keystore, audit log; a ` +
        `collector in the bench's process, which got ${collector.spans.length} spans; CPU of all threads and processes of the signer; median of ` +
        `${rounds} rounds, each of all, in turns`,
    ],
    figures: [
      {
        name: 'CPU of a payment that metrics add, traces off, of one without metrics',
        value: added('off'),
        goal: { atMost: 0.02 },
      },
      {
        name: 'CPU of a payment that metrics and traces of a tenth add, of one without both',
        value: added('sampled'),
        goal: { atMost: 0.1 },
      },
      {
        name: 'CPU of a payment that metrics and traces of all add, of one without both',
        value: added('on'),
        goal: { atMost: 0.1 },
      },
    ],
  };
};
