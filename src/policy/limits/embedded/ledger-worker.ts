import { parentPort, workerData } from 'node:worker_threads';
import { type LedgerBatch, LedgerFileDesk } from './ledger-file-desk.ts';

// The program of the spend ledger's thread. It blocks while the disk writes, which is why it runs in a thread.

const { folder } = workerData as { folder: string };
const desk = new LedgerFileDesk(folder);

parentPort?.on('message', (batch: LedgerBatch | 'close') => {
  if (batch !== 'close') {
    parentPort?.postMessage(desk.answer(batch));
    return;
  }
  desk.close();
  parentPort?.close();
});
