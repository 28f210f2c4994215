import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
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

function open(timeoutMs: number, { endpoint = collector.url, headers = {} } = {}): OtlpExporter {
  return createOtlpExporter({
    endpoint,
    headers,
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

  it('may have more than 16 KiB, and those beside it arrive too', async () => {
    const attributes = Array.from({ length: 30 }, (_, n) => [`a${n}`, '€'.repeat(256)] as const);
    exporter.add({ ...span, attributes });
    exporter.add(span);
    await exporter.close();
    expect(collector.spans).toHaveLength(2);
    expect(collector.spans[0]?.attributes).toEqual(Object.fromEntries(attributes));
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
    expect(failures).toBe(1);
  });

  it('is told what it gets in protobuf, whatever else is configured', async () => {
    const told = open(60_000, { headers: { 'content-type': 'text/plain', authorization: 'a' } });
    told.add(span);
    await told.close();
    expect(collector.headers[0]).toMatchObject({
      'content-type': 'application/x-protobuf',
      authorization: 'a',
    });
  });

  it('is not listened to where its answer has no end', async () => {
    const hangUps: Promise<unknown>[] = [];
    const server = http.createServer((_, response) => {
      const talk = (): void => {
        while (response.write(Buffer.alloc(8_192)));
      };
      response.on('drain', talk);
      hangUps.push(once(response, 'close'));
      talk();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const talkedTo = open(60_000, { endpoint: `http://127.0.0.1:${port}/` });
    talkedTo.add(span);
    await talkedTo.close();
    expect(hangUps).toHaveLength(1);
    await Promise.all(hangUps);
    expect(failures).toBe(0);
  });

  it('that is away holds up nothing for longer than the time-out', async () => {
    await collector.close();
    const away = open(50);
    away.add(span);
    await away.close();
    expect(failures).toBe(1);
  });
});
