// Loaded into a signer by --import: on SIGUSR2 it turns metrics and traces on or off, as the file at BENCH_TELEMETRY says, and
// removes the file. The signer itself is configured without traces.
import { readFileSync, rmSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { Counter, Gauge, Histogram } from 'prom-client';
import { type OtlpTraces, openOtlpTraces } from '../../src/telemetry/otlp-traces.ts';

export type TelemetryOrder = {
  readonly metrics: boolean;
  /** undefined where nothing is traced */
  readonly traces: { readonly endpoint: string; readonly sampleRatio: number } | undefined;
};

const ignored = { value: (): void => undefined };
const counting = (
  [
    [Counter.prototype, 'inc'],
    [Gauge.prototype, 'set'],
    [Histogram.prototype, 'observe'],
  ] as const
).map(([prototype, name]) => ({
  prototype,
  name,
  counted: Object.getOwnPropertyDescriptor(prototype, name) ?? ignored,
}));

let traces: OtlpTraces | undefined;

async function obey({ metrics, traces: asked }: TelemetryOrder): Promise<void> {
  for (const { prototype, name, counted } of counting) {
    Object.defineProperty(prototype, name, metrics ? counted : ignored);
  }
  await traces?.close();
  traces =
    asked && openOtlpTraces({ ...asked, headers: {}, timeoutMs: 5_000, version: '0', onFailure });
}

function onFailure(): never {
  throw new Error('spans could not be sent');
}

const path = process.env['BENCH_TELEMETRY'];
if (isMainThread && path !== undefined) {
  process.on('SIGUSR2', () => {
    void obey(JSON.parse(readFileSync(path, 'utf8')) as TelemetryOrder).then(() => rmSync(path));
  });
}
