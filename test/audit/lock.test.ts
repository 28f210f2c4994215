import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { beforeEach, expect, it } from 'vitest';
import { lockChain } from '../../src/audit/lock.ts';
import { Folder } from '../cli/cli.ts';
import { openIn } from './test-log.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});

const heldByAnother = {
  code: 'AUDIT_UNAVAILABLE',
  retryable: true,
  message: expect.stringContaining('another process writes') as string,
  cause: { message: expect.stringContaining('locked') as string },
};

/** Has a thread lock the chain, for some time after it was heard of. */
async function lockInThread(ms: number): Promise<Worker> {
  const program = `
    const { DatabaseSync } = require('node:sqlite');
    const { parentPort, workerData } = require('node:worker_threads');
    const database = new DatabaseSync(workerData.path);
    database.exec('PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    parentPort.postMessage('locked');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, workerData.ms);
    database.close();`;
  const workerData = { path: join(folder.path, 'lock'), ms };
  const worker = new Worker(program, { eval: true, workerData });
  await once(worker, 'message');
  return worker;
}

it('a chain is locked for one writer, and waits a little for one that is just ending', async () => {
  const release = await lockChain(folder.path);
  await expect(lockChain(folder.path)).rejects.toMatchObject(heldByAnother);
  release();
  expect(openIn(folder.path)).toEqual([]);
  const worker = await lockInThread(200);
  const ended = once(worker, 'exit');
  (await lockChain(folder.path))();
  await ended;
});

it('what is no lock is not taken for one that another process holds', async () => {
  folder.write('lock', 'x'.repeat(5_000));
  const error = await lockChain(folder.path).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ message: expect.stringContaining('not a database') as string });
  expect(error).not.toHaveProperty('retryable');
  expect(openIn(folder.path)).toEqual([]);
});
