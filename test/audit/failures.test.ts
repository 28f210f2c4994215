import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AuditLog } from '../../src/audit/audit-log.ts';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { SmallDisk } from './small-disk.ts';
import { TestLog, fileHandlePrototype, filesOf, numbered, recordsOf } from './test-log.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const unavailable = { code: 'AUDIT_UNAVAILABLE', retryable: true };

/** Appends numbered records, `clients` at once, until `isDone`; tells which were reported durable, and how many refused. */
async function appendUntil(log: AuditLog, isDone: () => boolean, clients = 8, from = 0) {
  const durable: string[] = [];
  let next = from;
  let refused = 0;
  const client = async (): Promise<void> => {
    while (!isDone()) {
      const record = numbered(next++);
      try {
        await log.append(record);
        durable.push(record.use);
      } catch (error) {
        expect(error).toMatchObject(unavailable);
        refused += 1;
        await delay(1);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { durable, refused: () => refused, next };
}

function usesOf(chain: string): Set<unknown> {
  return new Set(recordsOf(chain).map(({ use }) => use));
}

describe('a full disk', () => {
  it('refuses records until there is room again, and then goes on by itself with the chain intact', async () => {
    await using test = new TestLog();
    using disk = new SmallDisk(1_024);
    const chain = join(disk.path, 'server-1');
    const log = await test.open(65_536, disk.path);
    disk.fill(100);
    let refusals = 0;
    const before = await appendUntil(log, () => refusals++ > 3_000);
    expect(before.durable.length).toBeGreaterThan(100);
    expect(before.refused()).toBeGreaterThan(10);
    await expect(log.checkHealth()).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('ENOSPC') as string,
    });
    expect(test.logged.map(({ level }) => level)).toContain('error');

    disk.makeRoom();
    await vi.waitFor(() => log.checkHealth(), { timeout: 60_000 });
    let appended = 0;
    const after = await appendUntil(log, () => appended++ > 200, 8, before.next);
    expect(after.refused()).toBe(0);
    await test.closeAll();

    expect(await verifyChain(chain)).toMatchObject({ tornBytes: 0 });
    const uses = usesOf(chain);
    for (const use of [...before.durable, ...after.durable]) expect(uses).toContain(use);
    const gaps = recordsOf(chain).filter(({ kind }) => kind === 'resume');
    expect(gaps.map(({ reason }) => reason)).toContain('ENOSPC');
    expect(gaps.reduce((sum, { lost }) => sum + Number(lost), 0)).toBe(before.refused());
  });

  it('goes on with the next record, without anybody asking for its health', async () => {
    await using test = new TestLog();
    using disk = new SmallDisk(256);
    const log = await test.open(65_536, disk.path);
    disk.fill(8);
    await expect(log.append({ kind: 'denied', message: 'x'.repeat(20_000) })).rejects.toMatchObject(
      unavailable,
    );
    disk.makeRoom();
    await vi.waitFor(() => log.append(numbered(1)), { timeout: 60_000 });
    await log.checkHealth();
    const kinds = recordsOf(join(disk.path, 'server-1')).map(({ kind }) => kind);
    expect(kinds).toEqual(['start', 'resume', 'signed']);
  });

  it('does not let the log open', async () => {
    await using test = new TestLog();
    using disk = new SmallDisk(64);
    disk.fill(0);
    await expect(test.open(65_536, disk.path)).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining(disk.path) as string,
    });
  });
});

const ioError = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

describe('a disk with errors', () => {
  it('loses no record that was reported, though a failed sync has lost what was written', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const [file = ''] = filesOf(test.chain);
    await log.append(numbered(1));
    const durableBytes = statSync(file).size;
    await log.write(numbered(2));
    vi.spyOn(await fileHandlePrototype(), 'datasync').mockImplementationOnce(() => {
      // what a disk that took the data, and then lost it, leaves in the file
      const lost = openSync(file, 'r+');
      writeSync(lost, Buffer.alloc(statSync(file).size - durableBytes), 0, undefined, durableBytes);
      closeSync(lost);
      return Promise.reject(ioError('EIO'));
    });
    await expect(log.append(numbered(3))).rejects.toMatchObject(unavailable);
    await log.append(numbered(4));
    expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: 0 });
    const uses = usesOf(test.chain);
    for (const use of ['1', '2', '4']) expect(uses).toContain(use);
    expect(recordsOf(test.chain).find(({ kind }) => kind === 'resume')).toMatchObject({
      reason: 'EIO',
      lost: 1,
    });
  });

  it('keeps the chain whole, and in it what was reported, through errors at any moment', async () => {
    await using test = new TestLog();
    const log = await test.open(4_096);
    const handles = await fileHandlePrototype();
    let failuresLeft = 20;
    let operations = 0;
    const failsNow = (): boolean => (operations += 1) % 11 === 0 && failuresLeft-- > 0;
    const { write, datasync } = handles as unknown as Record<
      'write' | 'datasync',
      (this: FileHandle, ...args: unknown[]) => Promise<unknown>
    >;
    vi.spyOn(handles, 'write').mockImplementation(async function (
      this: FileHandle,
      ...args: unknown[]
    ) {
      if (!failsNow()) return (await write.apply(this, args)) as never;
      const [bytes, , , position] = args as [Buffer, number, undefined, number];
      await write.call(this, bytes.subarray(0, bytes.length / 2), 0, undefined, position);
      throw ioError('ENOSPC');
    });
    vi.spyOn(handles, 'datasync').mockImplementation(async function (this: FileHandle) {
      if (failsNow()) throw ioError('EIO');
      await datasync.call(this);
    });
    const { durable, refused } = await appendUntil(log, () => failuresLeft <= 0, 4);
    expect(refused()).toBeGreaterThan(10);
    vi.restoreAllMocks();
    await vi.waitFor(() => log.append(numbered(-1)), { timeout: 60_000 });
    await test.closeAll();
    expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: 0 });
    const uses = usesOf(test.chain);
    expect(durable.length).toBeGreaterThan(10);
    for (const use of durable) expect(uses).toContain(use);
  });

  it('is told from one that works once the file was deleted', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.checkHealth();
    rmSync(filesOf(test.chain)[0] ?? '');
    await expect(log.checkHealth()).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('was deleted') as string,
    });
    await expect(log.append(numbered(1))).rejects.toMatchObject(unavailable);
  });

  it('that does not answer for three seconds is reported, and takes no more records', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const answer = Promise.withResolvers<undefined>();
    vi.spyOn(await fileHandlePrototype(), 'datasync').mockReturnValueOnce(answer.promise);
    const waiting = log.append(numbered(1));
    await vi.waitFor(() => expect(log.checkHealth()).rejects.toMatchObject(unavailable), {
      timeout: 60_000,
    });
    await expect(log.write(numbered(2))).rejects.toMatchObject(unavailable);
    answer.resolve(undefined);
    await waiting;
    await log.checkHealth();
    await log.append(numbered(3));
    expect([...usesOf(test.chain)]).toEqual([undefined, '1', '3']);
  });
});
