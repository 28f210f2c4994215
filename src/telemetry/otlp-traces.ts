import { AsyncLocalStorage } from 'node:async_hooks';
import type { Attributes, HrTime, SpanContext, SpanKind, SpanStatus } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
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
const batch = { scheduledDelayMillis: 1_000, maxExportBatchSize: 2_048, maxQueueSize: 8_192 };

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

  const ids = new sdk.RandomIdGenerator();
  const sampler = new sdk.TraceIdRatioBasedSampler(options.sampleRatio);
  const processor = new sdk.BatchSpanProcessor({
    ...batch,
    exportTimeoutMillis: options.timeoutMs,
    exporter: new exporter.OTLPTraceExporter({
      url: options.endpoint,
      headers: { ...options.headers },
      timeoutMillis: options.timeoutMs,
    }),
  });
  const origin: SpanOrigin = {
    resource: resources.resourceFromAttributes({
      'service.name': serviceName,
      'service.version': options.version,
    }),
    instrumentationScope: { name: serviceName, version: options.version },
    unset: { code: SpanStatusCode.UNSET },
  };
  const kinds: Partial<Record<TracedStep, SpanKind>> = {
    request: SpanKind.SERVER,
    webhook: SpanKind.CLIENT,
    'key-call': SpanKind.CLIENT,
  };
  const current = new AsyncLocalStorage<RequestTrace>();

  function beginTrace(traceId: string): SpanContext {
    const { decision } = sampler.shouldSample(ROOT_CONTEXT, traceId);
    const isSampled = decision === sdk.SamplingDecision.RECORD_AND_SAMPLED;
    return { traceId, spanId: '', traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE };
  }

  function parentOfRequest({ traceparent, attributes }: StepMessage): SpanContext {
    if (traceparent === undefined) return beginTrace(String(attributes['request_id']));
    const [, traceId = '', spanId = '', flags] = traceparent.split('-');
    const traceFlags = flags === '01' ? TraceFlags.SAMPLED : TraceFlags.NONE;
    return { traceId, spanId, traceFlags, isRemote: true };
  }

  function beginRequest(message: TracedMessage): RequestTrace {
    const parent = parentOfRequest(message);
    return { request: isSampled(parent) ? beginSpan('request', message, parent) : parent };
  }

  function beginStep(step: Exclude<TracedStep, 'request'>, message: TracedMessage): void {
    const trace = current.getStore();
    const parent = trace ? parentIn(trace, step, message) : beginTrace(ids.generateTraceId());
    if (isSampled(parent)) {
      const span = beginSpan(step, message, parent);
      if (trace && (step === 'decision' || step === 'seal')) trace[step] = span;
      if (step === 'webhook') message.traceparent = formatTraceparent(span);
    } else if (step === 'webhook') {
      message.traceparent = formatTraceparent({ ...parent, spanId: ids.generateSpanId() });
    }
  }

  function beginSpan(step: TracedStep, message: TracedMessage, parent: SpanContext): StepSpan {
    const kind = kinds[step] ?? SpanKind.INTERNAL;
    return (message[spanOf] = new StepSpan(origin, step, kind, parent, ids.generateSpanId()));
  }

  function end(step: TracedStep, message: TracedMessage): void {
    const span = message[spanOf];
    if (!span) return;
    const { attributes, error } = message;
    for (const name in attributes) {
      const value = attributes[name];
      if (value !== undefined) span.attributes[attributeName(name)] = value;
    }
    const code = error === undefined ? undefined : isSignerError(error) ? error.code : 'INTERNAL';
    if (code !== undefined) span.attributes['signer.code'] = code;
    const { status = 0, code: answered } = attributes;
    // what a server refuses is no error of its own
    const failed = step === 'request' ? Number(status) >= 500 : code !== undefined;
    if (failed) span.status = { code: SpanStatusCode.ERROR, message: code ?? `${answered}` };
    if (step === 'request') span.name = nameOf(message);
    span.end();
    processor.onEnd(span);
  }

  const subscriptions = tracedSteps.map((step) => ({
    channel: stepChannels[step],
    onStart:
      step === 'request'
        ? undefined
        : (message: unknown) => beginStep(step, message as TracedMessage),
    onEnd: (message: unknown) => end(step, message as TracedMessage),
  }));
  // of a request alone: what follows it anywhere carries its store along, and each further one would cost as much as a span
  stepChannels.request.start.bindStore(current, beginRequest);
  for (const { channel, onStart, onEnd } of subscriptions) {
    if (onStart) channel.start.subscribe(onStart);
    channel.asyncEnd.subscribe(onEnd);
  }
  return {
    async close() {
      stepChannels.request.start.unbindStore(current);
      for (const { channel, onStart, onEnd } of subscriptions) {
        if (onStart) channel.start.unsubscribe(onStart);
        channel.asyncEnd.unsubscribe(onEnd);
      }
      await processor.shutdown().catch(noteFailure);
    },
  };
}

/** The spans of a request that others have for a parent. */
type RequestTrace = {
  readonly request: SpanContext;
  decision?: SpanContext;
  seal?: SpanContext;
};

function parentIn(
  { request, decision, seal }: RequestTrace,
  step: TracedStep,
  { attributes }: StepMessage,
): SpanContext {
  if (step === 'webhook' || step === 'ledger') return decision ?? request;
  const isOfSeal = step === 'key-call' && attributes['intent'] === 'session-state';
  return isOfSeal ? (seal ?? request) : request;
}

const isSampled = ({ traceFlags }: SpanContext): boolean => (traceFlags & 1) === 1;

/** A step's message, with the span that was begun for it; a property costs less than a WeakMap, above all when garbage is collected. */
type TracedMessage = StepMessage & { [spanOf]?: StepSpan };

const spanOf = Symbol('span');

/** What all spans of the process have in common. */
type SpanOrigin = Pick<ReadableSpan, 'resource' | 'instrumentationScope'> & {
  readonly unset: SpanStatus;
};

const none: [] = [];

/**
 * A step as OpenTelemetry's processor and exporter take it. Their own spans, which may be written to by anybody at any time, cost several
 * times as much.
 */
class StepSpan implements ReadableSpan, SpanContext {
  readonly #origin: SpanOrigin;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags = 1;
  readonly parentSpanContext?: SpanContext;
  readonly attributes: Attributes = {};
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly ended = true;
  name: string;
  status: SpanStatus;
  /** Unix time of the clock that `performance.now` reads, in ms: that of the trace's first span, so that none begins before its parent */
  readonly #clockMs: number;
  readonly #startedAtMs = performance.now();
  #endedAtMs = 0;

  constructor(
    origin: SpanOrigin,
    name: string,
    kind: SpanKind,
    parent: SpanContext,
    spanId: string,
  ) {
    this.#origin = origin;
    this.status = origin.unset;
    this.name = name;
    this.kind = kind;
    this.traceId = parent.traceId;
    this.spanId = spanId;
    if (parent.spanId !== '') this.parentSpanContext = parent;
    this.#clockMs = parent instanceof StepSpan ? parent.#clockMs : Date.now() - this.#startedAtMs;
  }

  end(): void {
    this.#endedAtMs = performance.now();
  }

  spanContext(): SpanContext {
    return this;
  }

  get resource() {
    return this.#origin.resource;
  }

  get instrumentationScope() {
    return this.#origin.instrumentationScope;
  }

  get startTime(): HrTime {
    return toHrTime(this.#clockMs + this.#startedAtMs);
  }

  get endTime(): HrTime {
    return toHrTime(this.#clockMs + this.#endedAtMs);
  }

  get duration(): HrTime {
    return toHrTime(this.#endedAtMs - this.#startedAtMs);
  }

  get links() {
    return none;
  }

  get events() {
    return none;
  }
}

/** Seconds, and nanoseconds of the last one. */
function toHrTime(milliseconds: number): HrTime {
  const seconds = Math.floor(milliseconds / 1e3);
  return [seconds, Math.floor((milliseconds - seconds * 1e3) * 1e6)];
}

/** What attributes are called; where OpenTelemetry's semantic conventions have a name, by that. */
const attributeNames = new Map([
  ['method', 'http.request.method'],
  ['route', 'http.route'],
  ['status', 'http.response.status_code'],
]);

function attributeName(name: string): string {
  let found = attributeNames.get(name);
  if (found === undefined) attributeNames.set(name, (found = `signer.${name}`));
  return found;
}

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
