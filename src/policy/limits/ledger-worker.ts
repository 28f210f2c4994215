import { parentPort, workerData } from 'node:worker_threads';
import type { LedgerBatch, LedgerReply } from './ledger-thread.ts';
import { LedgerFileError } from './ledger-file-error.ts';
import { SpendFile } from './spend-file.ts';

// The thread of the spend ledger's file: it blocks while the disk writes, which is why it is a thread.

const { folder } = workerData as { folder: string };
let file: SpendFile | undefined;

function closeFile(): void {
  file?.close();
  file = undefined;
}

function answer({ requests, timeMs }: LedgerBatch): LedgerReply {
  try {
    file ??= new SpendFile(folder);
    return { results: file.answer(requests, timeMs) };
  } catch (error) {
    // whatever was wrong with the file, it is opened anew for the next batch
    closeFile();
    const details = error instanceof LedgerFileError ? error.details : String(error);
    return { failure: { message: (error as Error).message, details } };
  }
}

parentPort?.on('message', (batch: LedgerBatch | 'close') => {
  if (batch !== 'close') {
    parentPort?.postMessage(answer(batch));
    return;
  }
  closeFile();
  parentPort?.close();
});
