import { parentPort, workerData } from 'node:worker_threads';
import { isSignerError } from '../errors.ts';
import { parseApiKeyFile } from './api-key-file.ts';
import type { DocumentRequest, DocumentReply } from './document-thread.ts';
import { readPolicyDocument } from './policy-file.ts';

/** Entry of a worker thread: reads the document that `workerData` asks for, and ends. */
function read({ kind, text, path }: DocumentRequest): DocumentReply {
  try {
    const value = kind === 'policy' ? readPolicyDocument(text, path) : parseApiKeyFile(text, path);
    return { value };
  } catch (error) {
    if (isSignerError(error)) return { problem: error.message };
    throw error;
  }
}

parentPort?.postMessage(read(workerData as DocumentRequest));
