import { startOtlpCollector } from '../telemetry/otlp-collector.ts';
import type { Scenario } from './result.ts';
import { compareVariants } from './variants.ts';

const rounds = 16;

/** What metrics and traces cost: the same payments without either, with metrics, and with traces too. */
export const telemetry: Scenario = async (options) => {
  const collector = await startOtlpCollector();
  await using opened = new AsyncDisposableStack();
  opened.defer(() => collector.close());
  const traced = (sampleRatio: number): string =>
    `traces: { otlp: { endpoint: "${collector.url}" }, sampleRatio: ${sampleRatio} }\n`;
  const preload = new URL('no-metrics.ts', import.meta.url).href;
  const { table, note, added } = await compareVariants(
    options,
    [
      {
        name: 'bare',
        label: 'neither',
        yaml: '',
        environment: { NODE_OPTIONS: `--import=${preload}` },
      },
      { name: 'off', label: 'metrics', yaml: '' },
      { name: 'same', label: 'metrics, the same again', yaml: '' },
      { name: 'sampled', label: 'metrics, traces of a tenth', yaml: traced(0.1) },
      { name: 'on', label: 'metrics, traces of all', yaml: traced(1) },
    ],
    rounds,
  );
  return {
    table,
    notes: [
      `${note}; a collector in the bench's process, which got ${collector.spans.length} spans`,
    ],
    figures: [
      {
        name: 'noise: CPU of a payment that the same signers again add',
        value: added('same', 'off'),
      },
      {
        name: 'CPU of a payment that metrics add, traces off, of one without metrics',
        value: added('off', 'bare'),
        goal: { atMost: 0.02 },
      },
      {
        name: 'CPU of a payment that metrics and traces of a tenth add, of one without both',
        value: added('sampled', 'bare'),
        goal: { atMost: 0.1 },
      },
      {
        name: 'CPU of a payment that metrics and traces of all add, of one without both',
        value: added('on', 'bare'),
        goal: { atMost: 0.1 },
      },
    ],
  };
};
