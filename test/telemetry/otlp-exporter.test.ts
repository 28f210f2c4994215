import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EndedSpan, spanKinds } from '../../src/telemetry/otlp-batch.ts';
import { type OtlpExporter, createOtlpExporter } from '../../src/telemetry/otlp-exporter.ts';
import { soon } from '../support/soon.ts';
import { type OtlpCollector, startOtlpCollector } from './otlp-collector.ts';

const span: EndedSpan = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  id: { high: 0xfedcba98, low: 0x00000001 },
  parent: { high: 0x00f067aa, low: 0x0ba902b7 },
  isParentRemote: true,
  name: 'key-call',
  kind: spanKinds.client,
  startedAtMs: 1_795_757_000_000.5,
  endedAtMs: 1_795_757_000_003.25,
  attributes: [],
  failure: undefined,
};

let collector: OtlpCollector;
let exporter: OtlpExporter;
let failures: number;

function open(timeoutMs: number): OtlpExporter {
  return createOtlpExporter({
    endpoint: collector.url,
    headers: {},
    timeoutMs,
    service: { name: 'signer', version: '1.0.0' },
    onFailure: () => (failures += 1),
  });
}

beforeEach(async () => {
  failures = 0;
  collector = await startOtlpCollector();
  exporter = open(60_000);
});

afterEach(async () => {
  await exporter.close();
  await collector.close();
});

describe('a span', () => {
  it('arrives as it was, times to the microsecond', async () => {
    exporter.add(span);
    await exporter.close();
    const toMicroseconds = (ns: bigint): bigint => (ns + 500n) / 1_000n;
    const [arrived] = collector.spans.map((one) => ({
      ...one,
      startedAt: toMicroseconds(one.startedAt),
      endedAt: toMicroseconds(one.endedAt),
    }));
    expect(arrived).toEqual({
      traceId: span.traceId,
      spanId: 'fedcba9800000001',
      parentId: '00f067aa0ba902b7',
      name: 'key-call',
      startedAt: 1_795_757_000_000_500n,
      endedAt: 1_795_757_000_003_250n,
      attributes: {},
      status: null,
    });
  });

  it('has text in any script, whole numbers and fractions', async () => {
    const attributes = [
      ['text', 'schlüssel 鍵 🔑'],
      ['empty', ''],
      ['long', '🔑'.repeat(1_000)],
      ['zero', 0],
      ['status', 200],
      ['large', Number.MAX_SAFE_INTEGER],
      ['negative', -1.5],
    ] as const;
    exporter.add({ ...span, attributes, failure: 'PROVIDER_THROTTLED' });
    exporter.add(span);
    await exporter.close();
    expect(collector.spans).toHaveLength(2);
    expect(collector.spans[0]).toMatchObject({
      attributes: {
        text: 'schlüssel 鍵 🔑',
        empty: '',
        // it is cut at 256 UTF-16 code units
        long: '🔑'.repeat(128),
        zero: '0',
        status: '200',
        large: '9007199254740991',
        negative: '-1.5',
      },
      status: { code: 2, message: 'PROVIDER_THROTTLED' },
    });
  });

  it('is sent within seconds, and with as many others as there are', async () => {
    const count = 10_000;
    for (let low = 1; low <= count; low += 1) exporter.add({ ...span, id: { high: 1, low } });
    await soon(() => expect(collector.spans).toHaveLength(count));
    const ids = collector.spans.map(({ spanId }) => Number.parseInt(spanId.slice(8), 16));
    expect(new Set(ids).size).toBe(count);
    expect(Math.max(...ids)).toBe(count);
  });
});

describe('a collector', () => {
  it('is asked again where it has no time, and nothing is lost', async () => {
    collector.refusals.push(503, 429);
    exporter.add(span);
    await exporter.close();
    expect(collector.bodies).toHaveLength(3);
    expect(collector.spans).toHaveLength(1);
    expect(failures).toBe(0);
  });

  it('is not asked again where it refuses, which is told once', async () => {
    for (const status of [400, 302]) {
      collector.refusals.push(status);
      exporter.add(span);
      await soon(() => expect(collector.refusals).toEqual([]));
    }
    exporter.add(span);
    await soon(() => expect(collector.spans).toHaveLength(1));
    expect(collector.bodies).toHaveLength(3);
    expect(failures).toBe(1);
  });

  it('that is slow has a bounded number of spans wait for it', async () => {
    const count = 100_000;
    for (let added = 0; added < count; added += 1) exporter.add(span);
    await exporter.close();
    const bytes = collector.bodies.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeGreaterThan(2_000_000);
    expect(bytes).toBeLessThan(3_000_000);
    expect(collector.spans.length).toBeLessThan(count);
  });

  it('that is away holds up nothing for longer than the time-out', async () => {
    await collector.close();
    const away = open(50);
    away.add(span);
    await away.close();
    expect(failures).toBe(1);
  });
});
