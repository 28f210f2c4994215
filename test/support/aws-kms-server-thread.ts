import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { AwsKmsWireServer, AwsKmsWireServerOptions } from './aws-kms-wire-server.ts';

/** What the thread tells once its server listens. */
export type ServerFacts = Pick<AwsKmsWireServer, 'endpoint' | 'credentials'> & {
  readonly keyId: string;
};

/** What it counts; see {@link AwsKmsWireServer}. */
export type ServerCounts = Pick<
  AwsKmsWireServer,
  'requests' | 'throttled' | 'mostUnderWay' | 'underWay'
>;

const program = new URL(
  `./aws-kms-server-thread-program${extname(import.meta.url)}`,
  import.meta.url,
);

/**
 * An {@link AwsKmsWireServer} with one key, in a thread of its own: it takes requests whether or not the client's event loop
 * has time for it, as KMS does.
 */
export class AwsKmsServerThread {
  readonly facts: ServerFacts;
  readonly #worker: Worker;

  private constructor(worker: Worker, facts: ServerFacts) {
    this.#worker = worker;
    this.facts = facts;
  }

  static async start(options: AwsKmsWireServerOptions = {}): Promise<AwsKmsServerThread> {
    const worker = new Worker(program, { workerData: options });
    const [facts] = (await once(worker, 'message')) as [ServerFacts];
    return new AwsKmsServerThread(worker, facts);
  }

  counts(): Promise<ServerCounts> {
    return this.#ask('counts');
  }

  /** Has every Sign request wait for {@link AwsKmsServerThread.release}. */
  async hold(): Promise<void> {
    await this.#ask('hold');
  }

  /** Answers what waits and what comes. */
  async release(): Promise<void> {
    await this.#ask('release');
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(request: ThreadRequest): Promise<ServerCounts> {
    this.#worker.postMessage(request);
    const [counts] = (await once(this.#worker, 'message')) as [ServerCounts];
    return counts;
  }
}

/** What the thread is asked for; it answers each with its counts. */
export type ThreadRequest = 'counts' | 'hold' | 'release';
