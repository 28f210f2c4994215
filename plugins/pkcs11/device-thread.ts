import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ProviderError } from '../../src/keys/provider.ts';
import { type Failure, unpackFailure } from './errors.ts';
import type { ConnectRequest, Connection, Description } from './token.ts';

/** What a device thread can be asked, with argument and result. */
export type DeviceOperations = {
  /** Result: whether the module was not initialised before. */
  initialise: { argument: undefined; result: boolean };
  connect: { argument: ConnectRequest; result: Connection };
  sign: { argument: Uint8Array; result: Uint8Array };
  check: { argument: undefined; result: undefined };
  describe: { argument: undefined; result: Description };
  restart: { argument: undefined; result: undefined };
  finalise: { argument: undefined; result: undefined };
  /** Argument: whether the session's handle is still the session's own. */
  disconnect: { argument: boolean; result: undefined };
};

export type DeviceRequest = {
  [Operation in keyof DeviceOperations]: {
    readonly operation: Operation;
    readonly argument: DeviceOperations[Operation]['argument'];
  };
}[keyof DeviceOperations];

export type DeviceReply = { readonly result: unknown } | { readonly failure: Failure };

type Waiting = { resolve: (result: never) => void; reject: (error: Error) => void };

// .ts when Node runs the sources, .js when it runs what tsc made of them
const workerUrl = new URL(`./device-worker${extname(import.meta.url)}`, import.meta.url);

/**
 * One thread with one PKCS#11 session. PKCS#11 calls block, and libuv's own four threads must stay free for files
 * and DNS even when a device hangs; so each session has a thread.
 */
export class DeviceThread {
  readonly #worker: Worker;
  /** Calls under way, oldest first; the thread answers in order. */
  readonly #waiting: Waiting[] = [];
  #hasEnded = false;

  constructor(modulePath: string) {
    this.#worker = new Worker(workerUrl, { workerData: { modulePath }, execArgv: [] });
    this.#worker.on('message', (reply: DeviceReply) => {
      const waiting = this.#waiting.shift();
      if ('failure' in reply) waiting?.reject(unpackFailure(reply.failure));
      else waiting?.resolve(reply.result as never);
    });
    this.#worker.on('error', (error: unknown) =>
      this.#end(error instanceof Error ? error.message : String(error)),
    );
    this.#worker.on('exit', () => this.#end('exit'));
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Rejects with a `DeviceError` or a `ProviderError`. */
  call<Operation extends keyof DeviceOperations>(
    operation: Operation,
    argument: DeviceOperations[Operation]['argument'],
  ): Promise<DeviceOperations[Operation]['result']> {
    if (this.#hasEnded) return Promise.reject(threadEnded('exit'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage({ operation, argument });
    });
  }

  /** Ends the thread; a native call that never returns keeps it alive, so do not rely on the promise. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #end(details: string): void {
    this.#hasEnded = true;
    for (const { reject } of this.#waiting.splice(0)) reject(threadEnded(details));
  }
}

function threadEnded(details: string): ProviderError {
  return new ProviderError('PROVIDER_UNAVAILABLE', 'the PKCS#11 device thread ended', {
    details,
    retryable: true,
  });
}
