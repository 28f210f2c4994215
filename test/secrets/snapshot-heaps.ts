import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { getHeapSnapshot, setFlagsFromString } from 'node:v8';
import type { Worker } from 'node:worker_threads';

// Loaded into a signer by --import: on SIGUSR2 it writes a snapshot of the main thread's heap, and of each worker's, into
// $HEAP_SNAPSHOTS, and says so on standard output. Taking a snapshot collects the garbage first.

setFlagsFromString('--heap-snapshot-string-limit=1000000');

const workers = new Set<Worker>();
process.on('worker', (worker: Worker) => {
  workers.add(worker);
  worker.once('exit', () => workers.delete(worker));
});

process.on('SIGUSR2', () => {
  void writeSnapshots().then((count) => process.stdout.write(`wrote ${count} heap snapshots\n`));
});

async function writeSnapshots(): Promise<number> {
  const folder = process.env['HEAP_SNAPSHOTS'] ?? '.';
  const takers = [getHeapSnapshot, ...[...workers].map((worker) => () => worker.getHeapSnapshot())];
  for (const [index, take] of takers.entries()) {
    await pipeline(await take(), createWriteStream(join(folder, `${index}.heapsnapshot`)));
  }
  return takers.length;
}
