import { setTimeout as delay } from 'node:timers/promises';
import { type EndedSpan, OtlpBatch } from './otlp-batch.ts';

export type OtlpExporterOptions = {
  /** the URL that spans are sent to, as OTLP over HTTP in protobuf */
  readonly endpoint: string;
  /** headers that are sent with them; may be secret */
  readonly headers: Readonly<Record<string, string>>;
  /** how long a batch may take, retries included */
  readonly timeoutMs: number;
  readonly service: { readonly name: string; readonly version: string };
  /** Called when spans could not be sent, at most once a minute. */
  readonly onFailure: () => void;
};

export type OtlpExporter = {
  add(span: EndedSpan): void;
  /** Sends what is left, for as long as `timeoutMs` allows. */
  close(): Promise<void>;
};

const failurePauseMs = 60_000;
/** A batch is sent when it is full, or this long after its first span; one batch at a time. */
const batchDelayMs = 1_000;
const fullBytes = 512 * 1024;
/** Spans that come while this many bytes wait are dropped. */
const maxWaitingBytes = 2 * 1024 * 1024;
/** The pause before a batch is sent a second time; it doubles before each further attempt. */
const firstRetryPauseMs = 250;
/** The statuses after which OTLP/HTTP allows a retry. */
const retryableStatuses = [429, 502, 503, 504];
/** More of an answer is not read; its connection is then closed. */
const longestAnswerBytes = 16_384;

/** Sends spans in batches to a collector. Nothing waits for it, and nothing fails with it. */
export function createOtlpExporter(options: OtlpExporterOptions): OtlpExporter {
  const batch = new OtlpBatch(options.service);
  const headers = new Headers(options.headers);
  headers.set('Content-Type', 'application/x-protobuf');
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failedAtMs = -Infinity;

  function noteFailure(): void {
    if (performance.now() - failedAtMs < failurePauseMs) return;
    failedAtMs = performance.now();
    options.onFailure();
  }

  /**
   * Posts a batch. Whether the collector accepted it; undefined where it may do so later. Its words are not read, since they may
   * quote what was sent.
   */
  async function post(body: Uint8Array<ArrayBuffer>, signal: AbortSignal) {
    try {
      const {
        ok,
        status,
        body: answer,
      } = await fetch(options.endpoint, {
        method: 'POST',
        headers,
        body,
        // the secret in the headers is for this address only
        redirect: 'manual',
        signal,
      });
      await discard(answer);
      return retryableStatuses.includes(status) ? undefined : ok;
    } catch {
      return undefined;
    }
  }

  async function send(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const deadline = performance.now() + options.timeoutMs;
    const signal = AbortSignal.timeout(options.timeoutMs);
    for (let pauseMs = firstRetryPauseMs; ; pauseMs *= 2) {
      const isTaken = await post(body, signal);
      if (isTaken === true) return;
      if (isTaken === false || performance.now() + pauseMs >= deadline) break;
      await delay(pauseMs);
    }
    noteFailure();
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    sending = send(batch.take()).then(() => {
      sending = undefined;
      if (batch.byteLength > 0) flushInTime();
    });
  }

  function flushInTime(): void {
    if (batch.byteLength >= fullBytes) flush();
    else timer ??= setTimeout(flush, batchDelayMs).unref();
  }

  return {
    add(span) {
      if (batch.byteLength >= maxWaitingBytes) {
        noteFailure();
        return;
      }
      batch.add(span);
      if (!sending) flushInTime();
    },
    async close() {
      clearTimeout(timer);
      const rest = batch.byteLength > 0 ? send(batch.take()) : undefined;
      await Promise.all([sending, rest]);
    },
  };
}

/** Reads an answer to its end, so that its connection can be used again. Only its status matters, however this ends. */
async function discard(answer: ReadableStream<Uint8Array> | null): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of answer ?? []) {
      bytes += chunk.byteLength;
      if (bytes > longestAnswerBytes) break;
    }
  } catch {
    // the answer was cut short, which does not matter
  }
}
