import {
  type Stats,
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Chain, openChain } from '../../src/audit/chain.ts';
import { encodeRecords } from '../../src/audit/record.ts';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { Folder } from '../cli/cli.ts';
import {
  type DiskCall,
  failClose,
  fileHandlePrototype,
  numbered,
  openIn,
  recordsOf,
  untilDiskIsIdle,
  watchDisk,
} from './test-log.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});
afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

const open = (maxFileBytes = 65_536): Promise<Chain> =>
  openChain({ folder: folder.path, maxFileBytes });

/** Adds a record with a number, and gives how many bytes it takes. */
async function write(chain: Chain, number: number): Promise<number> {
  const time = '2026-01-01T00:00:00.000Z';
  const { lines, head } = encodeRecords([numbered(number)], chain.head(), time);
  await chain.write(Buffer.from(lines), head);
  return lines.length;
}

async function failSync(chain: Chain): Promise<void> {
  vi.spyOn(await fileHandlePrototype(), 'datasync').mockRejectedValueOnce(new Error('no'));
  await expect(chain.sync()).rejects.toThrow('no');
}

const file = (number: number): string => join(folder.path, `00000${number}.jsonl`);
const note = (): string => readFileSync(join(folder.path, 'end.json'), 'latin1');
const usesOf = (): unknown[] => recordsOf(folder.path).map(({ use }) => use);

it('a chain is repaired from the end that it had when it was opened, if no sync has succeeded since', async () => {
  const before = await open();
  await write(before, 1);
  await before.sync();
  await before.close();
  const chain = await open();
  expect(chain.unsyncedBytes()).toBe(0);
  const bytes = await write(chain, 2);
  expect(chain.unsyncedBytes()).toBe(bytes);
  await failSync(chain);
  await chain.repair();
  expect(chain.unsyncedBytes()).toBe(0);
  await chain.close();
  expect(usesOf()).toEqual(['1', '2']);
  expect(await verifyChain(folder.path)).toMatchObject({ records: 2, tornBytes: 0 });
});

it('a chain that is closed has no file open: neither the one it began with, nor those after it', async () => {
  const chain = await open(1);
  for (const number of [1, 2, 3]) await write(chain, number);
  await chain.sync();
  await chain.repair();
  await chain.close();
  expect(openIn(folder.path)).toEqual([]);
  expect(usesOf()).toEqual(['1', '2', '3']);
  const { file } = JSON.parse(
    readFileSync(join(folder.path, 'end.json'), 'latin1').slice(0, 384),
  ) as { readonly file: number };
  expect(file).toBe(3);
});

it('a file is read as a whole for a repair only where somebody was at it since the last one', async () => {
  const chain = await open();
  await write(chain, 1);
  await chain.sync();
  const read = vi.spyOn(await fileHandlePrototype(), 'createReadStream');
  const repair = async (): Promise<number> => {
    read.mockClear();
    await chain.repair();
    return read.mock.calls.length;
  };
  await failSync(chain);
  expect(await repair()).toBe(0);
  appendFileSync(join(folder.path, '000001.jsonl'), 'x');
  expect(() => chain.checkInPlace()).toThrow('was written by somebody else');
  expect(await repair()).toBe(1);
  await failSync(chain);
  expect(await repair()).toBe(0);
  await chain.close();
  expect(await verifyChain(folder.path)).toMatchObject({ records: 1, tornBytes: 0 });
});

it('a sync of a file that was moved away meanwhile fails, and is not noted', async () => {
  const chain = await open();
  await write(chain, 1);
  await chain.sync();
  const before = note();
  await write(chain, 2);
  renameSync(file(1), file(9));
  await expect(chain.sync()).rejects.toThrow('renamed or moved away');
  expect(note()).toBe(before);
  expect(chain.unsyncedBytes()).toBeGreaterThan(0);
  renameSync(file(9), file(1));
  await chain.repair();
  await chain.close();
  expect(usesOf()).toEqual(['1', '2']);
});

describe('a repair', () => {
  let chain: Chain;
  beforeEach(async () => {
    chain = await open();
    await write(chain, 1);
    await chain.sync();
    return () => chain.close();
  });

  it('is not of another file that has the name, whatever it holds', async () => {
    renameSync(file(1), file(9));
    copyFileSync(file(9), file(1));
    expect(() => chain.checkInPlace()).toThrow(`${file(1)} was replaced by another file`);
    await failSync(chain);
    await expect(chain.repair()).rejects.toThrow(`${file(1)} was replaced by another file`);
    renameSync(file(9), file(1));
    await chain.repair();
  });

  it('is not of a file that has lost what was on the disk', async () => {
    const text = readFileSync(file(1));
    await failSync(chain);
    truncateSync(file(1), text.length - 1);
    await expect(chain.repair()).rejects.toThrow(`${file(1)} was changed`);
    expect(readFileSync(file(1))).toEqual(text.subarray(0, -1));
    writeFileSync(file(1), text);
    await chain.repair();
  });

  it('is not waited for to cut off a failed write, whose own error is told', async () => {
    const { size } = statSync(file(1));
    const handles = await fileHandlePrototype();
    const original = handles.write as (...args: unknown[]) => Promise<unknown>;
    const failWithin = () =>
      vi.spyOn(handles, 'write').mockImplementationOnce(async function (
        this: typeof handles,
        bytes: unknown,
      ) {
        await original.call(this, (bytes as Buffer).subarray(0, 10));
        throw new Error('full');
      });
    failWithin();
    await expect(write(chain, 2)).rejects.toThrow('full');
    expect(statSync(file(1)).size).toBe(size);
    await chain.repair();
    failWithin();
    vi.spyOn(handles, 'truncate').mockRejectedValueOnce(new Error('gone'));
    await expect(write(chain, 2)).rejects.toThrow('full');
    expect(statSync(file(1)).size).toBe(size + 10);
    await chain.repair();
    expect(statSync(file(1)).size).toBe(size);
  });

  it('leaves no room for what a failed write would have taken', async () => {
    vi.spyOn(await fileHandlePrototype(), 'write').mockRejectedValueOnce(new Error('no'));
    await expect(write(chain, 2)).rejects.toThrow('no');
    await chain.repair();
    chain.checkInPlace();
    appendFileSync(file(1), 'x');
    expect(() => chain.checkInPlace()).toThrow('was written by somebody else');
  });
});

it('a repair does not end where the disk fails to close what had failed before', async () => {
  failClose(file(1));
  const chain = await open();
  await write(chain, 1);
  await failSync(chain);
  await chain.repair();
  await write(chain, 2);
  await chain.sync();
  expect(usesOf()).toEqual(['1', '2']);
  expect(openIn(folder.path).filter((path) => path === file(1))).toHaveLength(1);
  await chain.close();
  expect(openIn(folder.path)).toEqual([]);
});

it('a chain whose file was taken away, or can’t be opened, says which file and why', async () => {
  const chain = await open();
  await write(chain, 1);
  await chain.sync();
  await chain.close();
  rmSync(file(1));
  await expect(open()).rejects.toMatchObject({
    code: 'AUDIT_UNAVAILABLE',
    message: expect.stringContaining(`${file(1)}: it was written, and is not there`) as string,
  });
  rmSync(join(folder.path, 'end.json'));
  mkdirSync(file(1));
  await expect(open()).rejects.toMatchObject({ code: 'EISDIR', path: file(1) });
  expect(openIn(folder.path)).toEqual([]);
});

it('a file that is a copy of the one that was written is doubted, and one that is begun after it is not', async () => {
  const chain = await open();
  await write(chain, 1);
  await chain.sync();
  await chain.close();
  copyFileSync(file(1), file(9));
  renameSync(file(9), file(1));
  const copied = await open();
  expect(copied.doubt).toBe('another-file');
  await write(copied, 2);
  await copied.sync();
  await copied.close();
  writeFileSync(file(2), '');
  const next = await open();
  expect(next.doubt).toBeUndefined();
  await next.close();
});

it('a torn line is cut off on the disk before anything follows', async () => {
  const chain = await open();
  await write(chain, 1);
  await chain.sync();
  await chain.close();
  const { size } = statSync(file(1));
  appendFileSync(file(1), '{"seq":2,');
  const calls: DiskCall[] = [];
  await watchDisk(calls);
  const again = await open();
  expect(again.cutBytes).toBe(9);
  expect(calls.filter(({ path }) => path === file(1))).toEqual([
    { call: 'datasync', path: file(1), text: '', size },
  ]);
  await again.close();
});

describe('a chain of several files', () => {
  const noted: Buffer[] = [];
  beforeEach(async () => {
    const chain = await open(1);
    for (const number of [1, 2, 3]) {
      await write(chain, number);
      await chain.sync();
      noted.push(readFileSync(join(folder.path, 'end.json')));
    }
    await chain.close();
    return () => noted.splice(0);
  });

  it('is not gone on with where the last record of a file that others follow is torn', async () => {
    writeFileSync(join(folder.path, 'end.json'), noted[0] ?? '');
    truncateSync(file(1), statSync(file(1)).size - 10);
    await expect(open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining(
        `${file(1)}: record 1 is not where it was written`,
      ) as string,
    });
  });

  it('is not gone on with where its last file has no whole record, and those before were archived', async () => {
    rmSync(file(1));
    rmSync(file(2));
    truncateSync(file(3), 10);
    await expect(open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining(
        `${file(3)}: record 3 is not where it was written`,
      ) as string,
    });
  });
});

describe('the next file of a chain', () => {
  let chain: Chain;
  beforeEach(async () => {
    chain = await open(1);
    await write(chain, 1);
    return () => chain.close();
  });

  it('is not begun before a sync under way has ended', async () => {
    const handles = await fileHandlePrototype();
    const { datasync } = handles;
    const end = Promise.withResolvers<undefined>();
    const spy = vi.spyOn(handles, 'datasync');
    spy.mockImplementationOnce(async function (this: typeof handles) {
      await end.promise;
      await datasync.call(this);
    });
    const synced = chain.sync();
    const written = write(chain, 2);
    await untilDiskIsIdle();
    expect(spy).toHaveBeenCalledTimes(1);
    end.resolve(undefined);
    await Promise.all([synced, written]);
    expect(spy).toHaveBeenCalledTimes(2);
  });

  it('is not begun where somebody has put one', async () => {
    writeFileSync(file(2), 'x');
    await expect(write(chain, 2)).rejects.toThrow(`${file(2)} was put there by somebody else`);
    expect(openIn(folder.path)).not.toContain(file(2));
    expect(readFileSync(file(2), 'utf8')).toBe('x');
  });

  it('is not written when somebody else has begun to', async () => {
    const handles = await fileHandlePrototype();
    const { stat } = handles;
    let looks = 0;
    vi.spyOn(handles, 'stat').mockImplementation(async function (this: typeof handles) {
      const found = (await stat.call(this)) as Stats;
      // when it was opened it was looked at once already
      if (found.isFile() && found.size === 0 && ++looks === 2) appendFileSync(file(2), 'x');
      return found;
    });
    await expect(write(chain, 2)).rejects.toThrow(`${file(2)} was written by somebody else`);
    await chain.repair();
    await write(chain, 2);
    expect(usesOf()).toEqual(['1', '2']);
  });

  it('is repaired where no sync of it has succeeded, and where somebody was at it', async () => {
    await write(chain, 2);
    await failSync(chain);
    await chain.repair();
    appendFileSync(file(2), 'x');
    expect(() => chain.checkInPlace()).toThrow('was written by somebody else');
    await chain.repair();
    expect(await verifyChain(folder.path)).toMatchObject({ files: 2, records: 2, tornBytes: 0 });
  });
});
