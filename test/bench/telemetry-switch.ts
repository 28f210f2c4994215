// Loaded into a signer by --import: on SIGUSR2 it turns metrics and traces on or off, as the file at BENCH_TELEMETRY says, and
// removes the file. The signer itself is configured without traces.
import { readFileSync, rmSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type OtlpTraces, openOtlpTraces } from '../../src/telemetry/otlp-traces.ts';

export type TelemetryOrder = {
  readonly metrics: boolean;
  /** undefined where nothing is traced */
  readonly traces: { readonly endpoint: string; readonly sampleRatio: number } | undefined;
};

/** What a metric is told by; `counts` is its own method, as it was. */
type Method = Readonly<{ metric: object; name: 'inc' | 'set' | 'observe'; counts: unknown }>;

/** Of each metric by itself: prom-client gives many a method of their own when they are made, which that of the class would not replace. */
const methods: Method[] = [];
let payments: Counter | undefined;
let isStarting = true;

Registry.prototype.registerMetric = new Proxy(readMethod(Registry.prototype, 'registerMetric'), {
  apply(register, registry, args) {
    Reflect.apply(register, registry, args);
    const [metric] = args as [object];
    // its constructor has more to do
    if (isStarting) queueMicrotask(() => remember(metric));
  },
});

function remember(metric: object): void {
  const name =
    metric instanceof Counter
      ? 'inc'
      : metric instanceof Gauge
        ? 'set'
        : metric instanceof Histogram
          ? 'observe'
          : undefined;
  if (!name) return;
  methods.push({ metric, name, counts: readMethod(metric, name) });
  const isPayments = Reflect.get(metric, 'name') === 'livepeer_hsm_signer_payments_total';
  if (isPayments && metric instanceof Counter) payments ??= metric;
}

function readMethod(object: object, name: string): () => void {
  return Reflect.get(object, name) as () => void;
}

let traces: OtlpTraces | undefined;
let isCounting = true;
let countedBefore = 0;

async function obey({ metrics, traces: asked }: TelemetryOrder): Promise<void> {
  isStarting = false;
  await expectObeyed();
  isCounting = metrics;
  for (const { metric, name, counts } of methods) {
    Object.defineProperty(metric, name, {
      value: metrics ? counts : ignore,
      configurable: true,
      writable: true,
    });
  }
  await traces?.close();
  traces =
    asked && openOtlpTraces({ ...asked, headers: {}, timeoutMs: 5_000, version: '0', onFailure });
}

/** Ends the signer where payments were counted though metrics were off, or were not though they were on. */
async function expectObeyed(): Promise<void> {
  if (!payments) throw new Error('there is no counter of payments');
  const { values } = await payments.get();
  const counted = values.reduce((sum, { value }) => sum + value, 0);
  const isFirst = countedBefore === 0 && counted === 0;
  if (!isFirst && counted > countedBefore !== isCounting) {
    throw new Error(
      `${counted - countedBefore} payments were counted, metrics ${isCounting ? 'on' : 'off'}`,
    );
  }
  countedBefore = counted;
}

const ignore = (): void => undefined;

function onFailure(): never {
  throw new Error('spans could not be sent');
}

const path = process.env['BENCH_TELEMETRY'];
if (isMainThread && path !== undefined) {
  process.on('SIGUSR2', () => {
    void obey(JSON.parse(readFileSync(path, 'utf8')) as TelemetryOrder).then(() => rmSync(path));
  });
}
