import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as protoLoader from '@grpc/proto-loader';

export type CollectedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** '' for the root */
  readonly parentId: string;
  readonly name: string;
  readonly startedAt: bigint;
  readonly endedAt: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  readonly status: { readonly code: number; readonly message: string } | null;
};

export type OtlpCollector = {
  readonly url: string;
  readonly spans: CollectedSpan[];
  /** every body as it came */
  readonly bodies: Buffer[];
  readonly headers: http.IncomingHttpHeaders[];
  /** what the next requests are answered with, whose spans are not kept; all others with 200 */
  readonly refusals: number[];
  close(): Promise<void>;
};

type Value = Readonly<Record<string, unknown>> & { readonly value?: string };
type Wire = {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly traceId: Buffer;
        readonly spanId: Buffer;
        readonly parentSpanId: Buffer;
        readonly name: string;
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
        readonly attributes: readonly { readonly key: string; readonly value: Value }[];
        readonly status: CollectedSpan['status'];
      }[];
    }[];
  }[];
};

/** Takes OTLP over HTTP in protobuf on a free port, and keeps the spans. */
export async function startOtlpCollector(): Promise<OtlpCollector> {
  const definition = protoLoader.loadSync(join(import.meta.dirname, 'otlp-trace.proto'), {
    longs: String,
    oneofs: true,
    defaults: true,
  });
  const service = definition['otlp.TraceService'] as protoLoader.ServiceDefinition;
  const decode = service['Export']?.requestDeserialize as (bytes: Buffer) => Wire;
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      collector.bodies.push(body);
      collector.headers.push(request.headers);
      const refusal = collector.refusals.shift();
      if (refusal !== undefined) {
        response.writeHead(refusal).end();
        return;
      }
      for (const { scopeSpans } of decode(body).resourceSpans) {
        for (const { spans } of scopeSpans) collector.spans.push(...spans.map(readSpan));
      }
      response.setHeader('Content-Type', 'application/x-protobuf');
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const collector: OtlpCollector = {
    url: `http://127.0.0.1:${port}/v1/traces`,
    spans: [],
    bodies: [],
    headers: [],
    refusals: [],
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return collector;
}

function readSpan(
  span: Wire['resourceSpans'][number]['scopeSpans'][number]['spans'][number],
): CollectedSpan {
  return {
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentId: span.parentSpanId.toString('hex'),
    name: span.name,
    startedAt: BigInt(span.startTimeUnixNano),
    endedAt: BigInt(span.endTimeUnixNano),
    attributes: Object.fromEntries(
      span.attributes.map(({ key, value }) => [key, String(value[value.value ?? ''])]),
    ),
    status: span.status,
  };
}
