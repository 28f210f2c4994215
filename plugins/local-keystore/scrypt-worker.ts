import { parentPort, workerData } from 'node:worker_threads';
import { scrypt } from '@noble/hashes/scrypt';

/** Entry of a worker thread: derives one key from `workerData`, the arguments of noble's scrypt, and ends. */
parentPort?.postMessage(scrypt(...(workerData as Parameters<typeof scrypt>)));
