import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, Span, SpanContext } from '@opentelemetry/api';
import { ConfigError, isSignerError } from '../errors.ts';
import { type StepMessage, type TracedStep, stepChannels, tracedSteps } from '../trace-steps.ts';

export type OtlpOptions = {
  /** where spans are sent, as OTLP over HTTP in protobuf */
  readonly endpoint: string;
  /** sent with them; may be secret */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** 0 to 1: of the requests whose caller sent no `traceparent`; one that did has decided itself */
  readonly sampleRatio: number;
  readonly version: string;
  /** Called when spans could not be sent, at most once a minute. */
  readonly onFailure: () => void;
};

export type OtlpTraces = {
  /** Sends what is left, for as long as `timeoutMs` allows, and takes no more. */
  close(): Promise<void>;
};

const serviceName = 'livepeer-hsm-signer';
const failurePauseMs = 60_000;

/** A batch is sent when it is full, or so long after its first span; what comes while `maxQueued` wait is dropped. */
const batch = { scheduledDelayMillis: 1_000, maxExportBatchSize: 512, maxQueueSize: 8_192 };

/**
 * Makes a span of each published step, and sends them to a collector. A request without a `traceparent` is a trace of its own, whose id is
 * the request's. Nothing waits for the collector, and nothing fails with it. Throws `CONFIG_INVALID` where OpenTelemetry is not installed.
 */
export async function openOtlpTraces(options: OtlpOptions): Promise<OtlpTraces> {
  const { api, sdk, exporter, resources } = await loadOpenTelemetry();
  const { SpanKind, SpanStatusCode, ROOT_CONTEXT, TraceFlags } = api;
  let failedAtMs = -Infinity;
  const noteFailure = (): void => {
    if (performance.now() - failedAtMs < failurePauseMs) return;
    failedAtMs = performance.now();
    options.onFailure();
  };
  const ignore = (): void => undefined;
  // its words may quote what was sent
  api.diag.setLogger(
    { error: noteFailure, warn: ignore, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: api.DiagLogLevel.ERROR, suppressOverrideMessage: true },
  );

  const random = new sdk.RandomIdGenerator();
  let ownTraceId: string | undefined;
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({
      'service.name': serviceName,
      'service.version': options.version,
    }),
    sampler: new sdk.ParentBasedSampler({
      root: new sdk.TraceIdRatioBasedSampler(options.sampleRatio),
    }),
    idGenerator: {
      generateTraceId: () => ownTraceId ?? random.generateTraceId(),
      generateSpanId: () => random.generateSpanId(),
    },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        ...batch,
        exportTimeoutMillis: options.timeoutMs,
        exporter: new exporter.OTLPTraceExporter({
          url: options.endpoint,
          headers: { ...options.headers },
          timeoutMillis: options.timeoutMs,
        }),
      }),
    ],
  });
  const tracer = provider.getTracer(serviceName, options.version);
  const current = new AsyncLocalStorage<Context>();
  const spans = new WeakMap<StepMessage, Span>();

  function parentOf(step: TracedStep, { traceparent }: StepMessage): Context {
    if (step !== 'request') return current.getStore() ?? ROOT_CONTEXT;
    if (traceparent === undefined) return ROOT_CONTEXT;
    const [, traceId = '', spanId = '', flags] = traceparent.split('-');
    const traceFlags = flags === '01' ? TraceFlags.SAMPLED : TraceFlags.NONE;
    return api.trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
  }

  /** The context that the step's own steps have for a parent. */
  function begin(step: TracedStep, message: StepMessage): Context {
    const parent = parentOf(step, message);
    const context = step === 'request' ? undefined : api.trace.getSpanContext(parent);
    if (context && !(context.traceFlags & TraceFlags.SAMPLED)) {
      // most requests, where a few are traced: no span for each of their steps
      if (step === 'webhook') message.traceparent = formatTraceparent(context);
      return parent;
    }
    const kind =
      step === 'request'
        ? SpanKind.SERVER
        : step === 'webhook' || step === 'key-call'
          ? SpanKind.CLIENT
          : SpanKind.INTERNAL;
    const { request_id: requestId } = message.attributes;
    ownTraceId = typeof requestId === 'string' ? requestId : undefined;
    const span = tracer.startSpan(step, { kind }, parent);
    ownTraceId = undefined;
    spans.set(message, span);
    if (step === 'webhook') message.traceparent = formatTraceparent(span.spanContext());
    return api.trace.setSpan(parent, span);
  }

  function end(step: TracedStep, message: StepMessage): void {
    const span = spans.get(message);
    if (!span) return;
    if (span.isRecording()) {
      describe(step, span, message);
      if (step === 'request') span.updateName(nameOf(message));
    }
    span.end();
  }

  function describe(step: TracedStep, span: Span, { attributes, error }: StepMessage): void {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) span.setAttribute(conventional[name] ?? `signer.${name}`, value);
    }
    const code = error === undefined ? undefined : isSignerError(error) ? error.code : 'INTERNAL';
    if (code !== undefined) span.setAttribute('signer.code', code);
    const { status = 0, code: answered } = attributes;
    // what a server refuses is no error of its own
    const failed = step === 'request' ? Number(status) >= 500 : code !== undefined;
    if (failed) span.setStatus({ code: SpanStatusCode.ERROR, message: code ?? `${answered}` });
  }

  const ends = tracedSteps.map((step) => ({
    channel: stepChannels[step],
    onEnd: (message: unknown) => end(step, message as StepMessage),
    step,
  }));
  for (const { channel, onEnd, step } of ends) {
    channel.start.bindStore(current, (message) => begin(step, message));
    channel.asyncEnd.subscribe(onEnd);
  }
  return {
    async close() {
      for (const { channel, onEnd } of ends) {
        channel.start.unbindStore(current);
        channel.asyncEnd.unsubscribe(onEnd);
      }
      await provider.shutdown().catch(noteFailure);
    },
  };
}

/** What OpenTelemetry's semantic conventions call an attribute. */
const conventional: Readonly<Record<string, string>> = {
  method: 'http.request.method',
  route: 'http.route',
  status: 'http.response.status_code',
};

function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & 1}`;
}

function nameOf({ attributes: { method, route } }: StepMessage): string {
  return route === undefined ? `${method}` : `${method} ${route}`;
}

async function loadOpenTelemetry() {
  try {
    const [api, sdk, exporter, resources] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-proto'),
      import('@opentelemetry/resources'),
    ]);
    return { api, sdk, exporter, resources };
  } catch (cause) {
    throw new ConfigError(
      'CONFIG_INVALID',
      'traces: OpenTelemetry is not installed: run "npm install @opentelemetry/api @opentelemetry/sdk-trace ' +
        '@opentelemetry/resources @opentelemetry/exporter-trace-otlp-proto" where the signer is installed, with -g if it is installed so',
      { cause },
    );
  }
}
