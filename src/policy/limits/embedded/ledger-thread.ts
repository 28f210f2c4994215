import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { RecordsError } from '../../../errors.ts';
import { describeAbort, isTimeout } from '../../../keys/describe-abort.ts';
import type { LedgerBatch, LedgerReply } from './ledger-file-desk.ts';
import type { FileRequest, FileResult } from './ledger-file.ts';

export type LedgerThreadOptions = {
  readonly folder: string;
  readonly log: (level: 'info' | 'warn', message: string) => void;
  /** whole Unix milliseconds that never go back */
  readonly now: () => number;
};

type Waiting = {
  readonly request: FileRequest;
  readonly resolve: (result: FileResult) => void;
  readonly reject: (error: Error) => void;
};

/** The most requests in one transaction, so that none takes long. */
const batchSize = 512;
/** How long `close` waits for the disk. */
const closeTimeoutMs = 5_000;

// .ts when Node runs the sources, .js when it runs what tsc made of them
const workerUrl = new URL(`./ledger-worker${extname(import.meta.url)}`, import.meta.url);

/**
 * The thread that works on the ledger's file. While it writes one batch, the next one gathers, so a slow disk leads to larger
 * batches.
 */
export class LedgerThread {
  readonly #options: LedgerThreadOptions;
  #worker: Worker | undefined;
  #queue: Waiting[] = [];
  /** the batch that the thread is working on */
  #sent: readonly Waiting[] = [];
  #isSendPlanned = false;
  /** whether `ask` refuses; `tell` still works */
  #isClosed = false;
  /** whether `tell` does nothing any more either: all questions are answered, and what followed from them was told */
  #isFinished = false;
  readonly #finished = Promise.withResolvers<undefined>();

  constructor(options: LedgerThreadOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the answer. A request that was already sent when `signal` is aborted is answered all the same; `onLate` gets
   * that answer. Throws `LEDGER_UNAVAILABLE`, and `REQUEST_ABORTED` when nobody waits any more.
   */
  ask(
    request: FileRequest,
    signal: AbortSignal,
    onLate?: (result: FileResult) => void,
  ): Promise<FileResult> {
    if (this.#isClosed) return Promise.reject(closed());
    if (signal.aborted) return Promise.reject(describeEnd(signal));
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#queue = this.#queue.filter((other) => other !== waiting);
        reject(describeEnd(signal));
      };
      const waiting: Waiting = {
        request,
        resolve: (result) => {
          signal.removeEventListener('abort', abort);
          if (signal.aborted) onLate?.(result);
          resolve(result);
        },
        reject: (error) => {
          signal.removeEventListener('abort', abort);
          reject(error);
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#enqueue(waiting);
    });
  }

  /** Resolves once the request is done, or can't be done; never throws. */
  tell(request: FileRequest): Promise<void> {
    if (this.#isFinished) return Promise.resolve();
    return new Promise((resolve) => {
      this.#enqueue({ request, resolve: () => resolve(), reject: () => resolve() });
    });
  }

  /**
   * Closes the thread. Earlier questions are still answered, and what is told meanwhile is still done, unless the disk takes too
   * long.
   */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#advance();
    }
    const timer = setTimeout(() => this.#finish(), closeTimeoutMs);
    await this.#finished.promise;
    clearTimeout(timer);
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker) await endWorker(worker);
    for (const { reject } of [...this.#sent, ...this.#queue]) reject(closed());
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#advance();
  }

  /** Sends the next batch when none is being worked on; requests of the same turn of the event loop go together. */
  #advance(): void {
    if (this.#sent.length > 0 || this.#isSendPlanned) return;
    if (this.#queue.length === 0) {
      if (this.#isClosed) this.#finish();
      return;
    }
    this.#isSendPlanned = true;
    setImmediate(() => {
      this.#isSendPlanned = false;
      this.#sent = this.#queue.splice(0, batchSize);
      if (this.#sent.length === 0) this.#advance();
      else this.#send(this.#sent.map(({ request }) => request));
    });
  }

  #finish(): void {
    this.#isFinished = true;
    this.#finished.resolve(undefined);
  }

  #send(requests: readonly FileRequest[]): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage({ requests, timeMs: this.#options.now() } satisfies LedgerBatch);
  }

  #start(): Worker {
    const { folder, log } = this.#options;
    const worker = new Worker(workerUrl, { workerData: { folder }, execArgv: [] });
    worker.on('message', (reply: LedgerReply) => this.#take(reply));
    worker.on('error', (error) =>
      log('warn', `the spend ledger's thread failed: ${String(error)}`),
    );
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#take({ failure: { message: 'the thread of the spend ledger ended', details: '' } });
    });
    return worker;
  }

  #take(reply: LedgerReply): void {
    const sent = this.#sent;
    this.#sent = [];
    if ('failure' in reply) {
      const error = unavailable(reply.failure.message, reply.failure.details);
      for (const { reject } of sent) reject(error);
    } else {
      for (const [index, result] of reply.results.entries()) sent[index]?.resolve(result);
    }
    this.#advance();
  }
}

/** Ends the thread. One that is blocked by the disk ends when the disk lets it. */
async function endWorker(worker: Worker): Promise<void> {
  const ended = Promise.withResolvers<undefined>();
  worker.once('exit', () => ended.resolve(undefined));
  worker.postMessage('close');
  const timer = setTimeout(() => {
    void worker.terminate();
    ended.resolve(undefined);
  }, closeTimeoutMs);
  await ended.promise;
  clearTimeout(timer);
}

function unavailable(message: string, details = ''): RecordsError {
  return new RecordsError('LEDGER_UNAVAILABLE', message, { details, retryable: true });
}

function closed(): RecordsError {
  return unavailable('the spend ledger is closed');
}

function describeEnd(signal: AbortSignal): Error {
  return isTimeout(signal)
    ? unavailable('the spend ledger did not answer before the deadline')
    : describeAbort('the spend ledger', signal);
}
