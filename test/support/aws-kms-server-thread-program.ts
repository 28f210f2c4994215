import { parentPort, workerData } from 'node:worker_threads';
import type { ServerCounts, ServerFacts, ThreadRequest } from './aws-kms-server-thread.ts';
import { AwsKmsWireServer, type AwsKmsWireServerOptions } from './aws-kms-wire-server.ts';

/** Entry of a thread: serves one key, and answers each {@link ThreadRequest} with its counts. */
const server = await AwsKmsWireServer.start(workerData as AwsKmsWireServerOptions);
let release = (): void => undefined;

parentPort?.on('message', (request: ThreadRequest) => {
  if (request === 'hold') {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    server.setFault('Sign', { kind: 'hold', until: promise });
    release = () => resolve(undefined);
  }
  if (request === 'release') release();
  const { requests, throttled, mostUnderWay, underWay } = server;
  parentPort?.postMessage({
    requests,
    throttled,
    mostUnderWay,
    underWay,
  } satisfies ServerCounts);
});

const { endpoint, credentials } = server;
const keyId = server.createKey();
parentPort?.postMessage({ endpoint, credentials, keyId } satisfies ServerFacts);
