import { AsyncLocalStorage } from 'node:async_hooks';
import { randomFillSync } from 'node:crypto';
import { isSignerError } from '../errors.ts';
import { randomId } from '../random-id.ts';
import { type StepMessage, type TracedStep, stepChannels, tracedSteps } from '../trace-steps.ts';
import { type SpanId, type SpanKind, spanKinds } from './otlp-batch.ts';
import { type OtlpExporterOptions, createOtlpExporter } from './otlp-exporter.ts';

export type OtlpOptions = Omit<OtlpExporterOptions, 'service'> & {
  /** 0 to 1: the share of the requests whose caller sent no `traceparent`; a `traceparent` says itself whether to trace */
  readonly sampleRatio: number;
  readonly version: string;
};

export type OtlpTraces = {
  /** Sends what is left, for as long as `timeoutMs` allows, and takes no more. */
  close(): Promise<void>;
};

/**
 * Makes a span of each published step, and sends the spans to a collector. A request without a `traceparent` becomes a trace of
 * its own, whose id is the request's. Nothing waits for the collector, and nothing fails with it.
 */
export function openOtlpTraces({ sampleRatio, version, ...sending }: OtlpOptions): OtlpTraces {
  const exporter = createOtlpExporter({
    ...sending,
    service: { name: 'livepeer-hsm-signer', version },
  });
  const current = new AsyncLocalStorage<RequestTrace>();

  function beginTrace(traceId: string): Trace {
    return {
      traceId,
      isSampled: isChosen(traceId, sampleRatio),
      parent: undefined,
      clockMs: readClock(),
    };
  }

  function traceOfRequest({ traceparent, attributes }: StepMessage): Trace {
    if (traceparent === undefined) return beginTrace(String(attributes['request_id']));
    const [, traceId = '', parentId = '', flags] = traceparent.split('-');
    return {
      traceId,
      isSampled: flags === '01',
      parent: readSpanId(parentId),
      clockMs: readClock(),
    };
  }

  function beginRequest(message: TracedMessage): RequestTrace {
    const trace = traceOfRequest(message);
    return {
      trace,
      request: trace.isSampled ? beginSpan(trace, trace.parent, message) : undefined,
    };
  }

  function beginStep(step: TracedStep, message: TracedMessage): void {
    const within = current.getStore();
    const trace = within?.trace ?? beginTrace(randomId());
    if (trace.isSampled) {
      const parent = within && parentIn(within, step, message);
      const span = beginSpan(trace, parent, message);
      if (within && (step === 'decision' || step === 'seal')) within[step] = span;
    }
    if (step === 'webhook') message.traceparent = formatTraceparent(trace, message[spanOf]?.id);
  }

  function end(step: TracedStep, message: TracedMessage): void {
    const span = message[spanOf];
    if (!span) return;
    const { attributes, error } = message;
    const named: [string, string | number][] = [];
    for (const name in attributes) {
      const value = attributes[name];
      if (value !== undefined) named.push([attributeName(name), value]);
    }
    const code = error === undefined ? undefined : isSignerError(error) ? error.code : 'INTERNAL';
    if (code !== undefined) named.push(['signer.code', code]);
    const { status = 0, code: answered } = attributes;
    // a request that a server refuses is not an error of the server
    const failed = step === 'request' ? Number(status) >= 500 : code !== undefined;
    const { trace, id, parent, startedAtMs } = span;
    exporter.add({
      traceId: trace.traceId,
      id,
      parent,
      isParentRemote: parent !== undefined && parent === trace.parent,
      name: step === 'request' ? nameOf(message) : step,
      kind: kinds[step] ?? spanKinds.internal,
      startedAtMs: trace.clockMs + startedAtMs,
      endedAtMs: trace.clockMs + performance.now(),
      attributes: named,
      failure: failed ? (code ?? `${answered}`) : undefined,
    });
  }

  const subscriptions = tracedSteps.map((step) => ({
    channel: stepChannels[step],
    onStart:
      step === 'request'
        ? undefined
        : (message: unknown) => beginStep(step, message as TracedMessage),
    onEnd: (message: unknown) => end(step, message as TracedMessage),
  }));
  // only for requests: everything that follows carries the store along, and each further one would cost as much as a span
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
      await exporter.close();
    },
  };
}

const kinds: Partial<Record<TracedStep, SpanKind>> = {
  request: spanKinds.server,
  webhook: spanKinds.client,
  'key-call': spanKinds.client,
};

type Trace = {
  readonly traceId: string;
  readonly isSampled: boolean;
  /** the caller's span */
  readonly parent: SpanId | undefined;
  /** Unix time of the clock that `performance.now` reads, in ms: one for all its spans, so that none begins before its parent */
  readonly clockMs: number;
};

/** A span of this process that has begun. */
type StepSpan = {
  readonly trace: Trace;
  readonly id: SpanId;
  readonly parent: SpanId | undefined;
  readonly startedAtMs: number;
};

/** A request's trace, with the spans that are parents of others. */
type RequestTrace = {
  readonly trace: Trace;
  readonly request: SpanId | undefined;
  decision?: SpanId;
  seal?: SpanId;
};

/**
 * A step's message, with the span that was begun for it; a property costs less than a WeakMap, especially for garbage collection.
 */
type TracedMessage = StepMessage & { [spanOf]?: StepSpan };

const spanOf = Symbol('span');

function beginSpan(trace: Trace, parent: SpanId | undefined, message: TracedMessage): SpanId {
  const id = newSpanId();
  message[spanOf] = { trace, id, parent, startedAtMs: performance.now() };
  return id;
}

function parentIn(
  { request, decision, seal }: RequestTrace,
  step: TracedStep,
  { attributes }: StepMessage,
): SpanId | undefined {
  if (step === 'webhook' || step === 'ledger') return decision ?? request;
  const isOfSeal = step === 'key-call' && attributes['intent'] === 'session-state';
  return isOfSeal ? (seal ?? request) : request;
}

const readClock = (): number => Date.now() - performance.now();

/**
 * Decides by the last 52 bits of the trace id, as OpenTelemetry's consistent probability sampling does by 56: all programs that
 * see the trace decide alike.
 */
function isChosen(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(-13), 16) / 2 ** 52 >= 1 - ratio;
}

const randomWords = new Uint32Array(512);
let usedWords = randomWords.length;

/** A random span id that is not zero, which would stand for none. */
function newSpanId(): SpanId {
  if (usedWords === randomWords.length) {
    randomFillSync(randomWords);
    usedWords = 0;
  }
  usedWords += 2;
  return {
    high: randomWords[usedWords - 2] ?? 0,
    low: Math.max(1, randomWords[usedWords - 1] ?? 1),
  };
}

/** Reads a span id of 16 hex digits. */
function readSpanId(hex: string): SpanId {
  return { high: Number.parseInt(hex.slice(0, 8), 16), low: Number.parseInt(hex.slice(8), 16) };
}

/** The names of attributes: those of OpenTelemetry's semantic conventions where they have one. */
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

function formatTraceparent({ traceId, isSampled }: Trace, { high, low } = newSpanId()): string {
  const [first, second] = [high, low].map((half) => half.toString(16).padStart(8, '0'));
  return `00-${traceId}-${first}${second}-${isSampled ? '01' : '00'}`;
}

function nameOf({ attributes: { method, route } }: StepMessage): string {
  return route === undefined ? `${method}` : `${method} ${route}`;
}
