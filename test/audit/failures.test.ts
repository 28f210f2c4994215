import {
  closeSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AuditLog } from '../../src/audit/audit-log.ts';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { SmallDisk } from './small-disk.ts';
import {
  TestLog,
  fileHandlePrototype,
  filesOf,
  numbered,
  recordsOf,
  untilDiskIsIdle,
} from './test-log.ts';

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
});

type DiskCall = (this: FileHandle, ...args: unknown[]) => Promise<unknown>;

/** Has the disk hold a call, after `skipped` ones that it answers, until it is let go on or fails. */
async function hold(call: 'write' | 'datasync', skipped = 0) {
  vi.restoreAllMocks();
  const handles = (await fileHandlePrototype()) as unknown as Record<typeof call, DiskCall>;
  const original = handles[call];
  const begun = Promise.withResolvers<undefined>();
  const end = Promise.withResolvers<undefined>();
  const spy = vi.spyOn(handles, call);
  for (let number = 0; number < skipped; number += 1) spy.mockImplementationOnce(original);
  spy.mockImplementationOnce(async function (this: FileHandle, ...args: unknown[]) {
    begun.resolve(undefined);
    await end.promise;
    return original.apply(this, args);
  });
  return {
    begun: begun.promise,
    goOn: () => end.resolve(undefined),
    fail: (code: string) => end.reject(ioError(code)),
    calls: () => spy.mock.calls.length,
  };
}

const refused = (record: Promise<void>): Promise<void> =>
  expect(record).rejects.toMatchObject(unavailable);

describe('a disk that is slow', () => {
  it('is asked for one sync at a time, and the next is for all that came meanwhile', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const sync = await hold('datasync');
    const first = log.append(numbered(1));
    await sync.begun;
    const others = [2, 3].map((number) => log.append(numbered(number)));
    await vi.waitFor(() => expect(usesOf(test.chain)).toContain('3'));
    await untilDiskIsIdle();
    expect(sync.calls()).toBe(1);
    sync.goOn();
    await Promise.all([first, ...others]);
    expect(sync.calls()).toBe(2);
  });

  it('and fails a sync has everything refused that was written before or meanwhile', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const sync = await hold('datasync');
    const records = [log.append(numbered(1))];
    await sync.begun;
    records.push(log.append(numbered(2)));
    await vi.waitFor(() => expect(usesOf(test.chain)).toContain('2'));
    const handles = (await fileHandlePrototype()) as unknown as Record<'write', DiskCall>;
    const { write } = handles;
    const writing = Promise.withResolvers<undefined>();
    const isWriting = Promise.withResolvers<undefined>();
    const spy = vi.spyOn(handles, 'write').mockImplementationOnce(async function (
      this: FileHandle,
      ...args: unknown[]
    ) {
      isWriting.resolve(undefined);
      await writing.promise;
      return write.apply(this, args);
    });
    records.push(log.append(numbered(3)));
    const all = Promise.all(records.map(refused));
    await isWriting.promise;
    sync.fail('EIO');
    await refused(records[0] ?? Promise.resolve());
    await refused(log.checkHealth());
    expect(spy).toHaveBeenCalledTimes(1);
    writing.resolve(undefined);
    await all;
    await log.append(numbered(4));
    expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: 0 });
    expect(recordsOf(test.chain).find(({ kind }) => kind === 'resume')).toMatchObject({
      reason: 'EIO',
      lost: 3,
    });
    expect(test.logged).toEqual([
      {
        level: 'error',
        message: expect.any(String) as string,
        fields: { folder: test.chain, reason: 'EIO' },
      },
      {
        level: 'info',
        message: expect.any(String) as string,
        fields: { folder: test.chain, reason: 'EIO', lost: 3 },
      },
    ]);
  });

  it('has the file repaired after a sync that is under way only', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const sync = await hold('datasync');
    const first = log.append(numbered(1));
    await sync.begun;
    const write = vi.spyOn(await fileHandlePrototype(), 'write');
    write.mockRejectedValueOnce(ioError('ENOSPC'));
    await refused(log.append(numbered(2)));
    const third = log.append(numbered(3));
    await untilDiskIsIdle();
    expect(write).toHaveBeenCalledTimes(1);
    sync.goOn();
    await Promise.all([first, third]);
    expect([...usesOf(test.chain)]).toEqual([undefined, '1', '3']);
    expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: 0 });
  });

  it('may end a sync of one file when the next one is written already', async () => {
    await using test = new TestLog();
    await test.open();
    const { size } = statSync(filesOf(test.chain)[0] ?? '');
    await test.closeAll();
    const log = await test.open(2 * size + 500);
    const handles = (await fileHandlePrototype()) as unknown as Record<'datasync', DiskCall>;
    const { datasync } = handles;
    const ends = [1, 2, 3].map(() => Promise.withResolvers<undefined>());
    let calls = 0;
    const spy = vi.spyOn(handles, 'datasync');
    spy.mockImplementation(async function (this: FileHandle) {
      const end = ends[calls++];
      await datasync.call(this);
      await end?.promise;
    });
    const first = log.append(numbered(1));
    await vi.waitFor(() => expect(calls).toBe(1));
    const second = log.append(numbered(2));
    await vi.waitFor(() => expect(usesOf(test.chain)).toContain('2'));
    const third = log.write(numbered(3));
    await untilDiskIsIdle();
    ends[0]?.resolve(undefined);
    // the second sync ends the file, the third is the one that the second record waits for
    await vi.waitFor(() => expect(calls).toBe(3));
    ends[1]?.resolve(undefined);
    await third;
    expect(filesOf(test.chain)).toHaveLength(2);
    ends[2]?.resolve(undefined);
    await Promise.all([first, second]);
    await log.checkHealth();
    expect(test.logged).toEqual([]);
    await test.closeAll();
    await test.open();
    expect(recordsOf(test.chain).at(-1)).not.toHaveProperty('doubt');
  });
});

/** A clock for what the log does by the time, which stands still. */
function stopClock(): { nowMs: number } {
  const clock = { nowMs: 1e6 };
  vi.spyOn(performance, 'now').mockImplementation(() => clock.nowMs);
  return clock;
}

describe('a disk that has failed', () => {
  it('is tried again after 100 ms, and what was refused until then is counted', async () => {
    await using test = new TestLog();
    const clock = stopClock();
    const log = await test.open();
    const write = vi.spyOn(await fileHandlePrototype(), 'write');
    write.mockRejectedValue(ioError('ENOSPC'));
    await refused(log.append(numbered(1)));
    // the first try is at once
    await refused(log.append(numbered(2)));
    expect(write).toHaveBeenCalledTimes(2);
    clock.nowMs += 99.9;
    await refused(log.append(numbered(3)));
    await refused(log.write(numbered(4)));
    await refused(log.checkHealth());
    expect(write).toHaveBeenCalledTimes(2);
    clock.nowMs += 0.1;
    write.mockRestore();
    await log.append(numbered(5));
    await log.append(numbered(6));
    expect(recordsOf(test.chain).find(({ kind }) => kind === 'resume')).toMatchObject({ lost: 4 });

    const again = vi.spyOn(await fileHandlePrototype(), 'write');
    again.mockRejectedValueOnce(ioError('EIO'));
    await refused(log.append(numbered(7)));
    await refused(log.append(numbered(8)));
    expect(again).toHaveBeenCalledTimes(1);
    clock.nowMs += 100;
    await log.checkHealth();
    expect(recordsOf(test.chain).at(-1)).toMatchObject({ kind: 'resume', reason: 'EIO', lost: 2 });
  });

  it('is repaired once for all who wait, with the record of the gap on the disk', async () => {
    await using test = new TestLog();
    stopClock();
    const log = await test.open();
    vi.spyOn(await fileHandlePrototype(), 'write').mockRejectedValueOnce(ioError('ENOSPC'));
    await refused(log.append(numbered(1)));
    const sizes: number[] = [];
    const handles = (await fileHandlePrototype()) as unknown as Record<'datasync', DiskCall>;
    const { datasync } = handles;
    const begun = Promise.withResolvers<undefined>();
    const end = Promise.withResolvers<undefined>();
    vi.spyOn(handles, 'datasync').mockImplementation(async function (this: FileHandle) {
      begun.resolve(undefined);
      await end.promise;
      sizes.push(statSync(filesOf(test.chain)[0] ?? '').size);
      return datasync.call(this);
    });
    const health = log.checkHealth();
    await begun.promise;
    const other = log.checkHealth();
    const records = [2, 3].map((number) => log.write(numbered(number)));
    end.resolve(undefined);
    await Promise.all([health, other, ...records]);
    const text = readFileSync(filesOf(test.chain)[0] ?? '', 'utf8');
    expect(sizes.at(-1)).toBe(text.indexOf('\n', text.indexOf('"resume"')) + 1);
    expect(recordsOf(test.chain).map(({ kind }) => kind)).toEqual([
      'start',
      'resume',
      'signed',
      'signed',
    ]);
  });

  it('is waited for by who closes the log, whether it is repaired or not', async () => {
    for (const isRepaired of [true, false]) {
      await using test = new TestLog();
      const log = await test.open();
      vi.spyOn(await fileHandlePrototype(), 'write').mockRejectedValueOnce(ioError('ENOSPC'));
      await refused(log.append(numbered(1)));
      const sync = await hold('datasync');
      const health = Promise.allSettled([log.checkHealth()]);
      await sync.begun;
      const closed = log.close();
      if (isRepaired) sync.goOn();
      else sync.fail('EIO');
      await closed;
      const [{ status }] = await health;
      expect(status).toBe(isRepaired ? 'fulfilled' : 'rejected');
      expect(recordsOf(test.chain).at(-1)?.kind).toBe(isRepaired ? 'resume' : 'start');
      expect(sync.calls()).toBe(isRepaired ? 3 : 1);
    }
  });

  it('may have been changed by whoever was at the file: it is verified before it is gone on with', async () => {
    await using test = new TestLog();
    const clock = stopClock();
    const log = await test.open();
    await log.append(numbered(1));
    const [file = ''] = filesOf(test.chain);
    const text = readFileSync(file, 'utf8');
    renameSync(file, `${file}.1`);
    await refused(log.write(numbered(2)));
    writeFileSync(`${file}.1`, text.replace('"version":"1.2.3"', '"version":"1.2.4"'));
    renameSync(`${file}.1`, file);
    await refused(log.append(numbered(3)));
    expect(readFileSync(file, 'utf8')).not.toContain('resume');
    writeFileSync(file, text);
    clock.nowMs += 100;
    await log.append(numbered(4));
    expect([...usesOf(test.chain)]).toEqual([undefined, '1', '4']);
  });
});

describe('a disk', () => {
  it.each<[string, 'write' | 'datasync', number, boolean]>([
    ['a record that is written', 'write', 0, false],
    ['a record that is synced', 'datasync', 0, false],
    ['a file that is repaired', 'datasync', 0, true],
    ['the record of a gap that is written', 'write', 1, true],
    ['the record of a gap that is synced', 'datasync', 1, true],
  ])(
    'that does not answer for three seconds is reported, and takes no more records: %s',
    async (_, call, skipped, isRepair) => {
      await using test = new TestLog();
      const log = await test.open();
      if (isRepair) {
        vi.spyOn(await fileHandlePrototype(), 'write').mockRejectedValueOnce(ioError('EIO'));
        await refused(log.append(numbered(0)));
      }
      const disk = await hold(call, skipped);
      const clock = stopClock();
      const waiting = isRepair ? log.checkHealth() : log.append(numbered(1));
      await disk.begun;
      clock.nowMs += 3_000;
      const taken = log.append(numbered(2));
      clock.nowMs += 1;
      await expect(log.checkHealth()).rejects.toMatchObject({
        ...unavailable,
        message: `the audit log in ${test.chain} can't be written: the disk does not answer`,
      });
      await refused(log.write(numbered(3)));
      disk.goOn();
      await Promise.all([waiting, taken]);
      await log.checkHealth();
      await log.append(numbered(4));
      expect([...usesOf(test.chain)].slice(-2)).toEqual(['2', '4']);
    },
  );
});
