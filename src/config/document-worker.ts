import { parentPort, workerData } from 'node:worker_threads';
import { isSignerError } from '../errors.ts';
import type { DocumentRequest, DocumentReply } from './document-thread.ts';
import { documentReaders } from './documents.ts';

/** Entry of a worker thread: reads the document that `workerData` asks for, and ends. */
function read({ kind, text, path }: DocumentRequest): DocumentReply {
  try {
    return { value: documentReaders[kind](text, path) };
  } catch (error) {
    if (isSignerError(error)) return { problem: error.message };
    throw error;
  }
}

parentPort?.postMessage(read(workerData as DocumentRequest));
