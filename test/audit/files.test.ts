import { execFileSync } from 'node:child_process';
import fs, { mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  appendBytes,
  chainFile,
  countWholeLineBytes,
  identify,
  listChainFiles,
  listChains,
  openPlainFile,
  readBytes,
  readLastLines,
  splitLines,
  writeBytesAt,
} from '../../src/audit/files.ts';
import { readLines } from '../../src/audit/read-lines.ts';
import { createChainTail } from '../../src/audit/tail-chain.ts';
import { Folder } from '../cli/cli.ts';
import { fileHandlePrototype, openIn } from './test-log.ts';

const texts = (lines: readonly Buffer[]): string[] => lines.map(String);

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});

afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

type DiskWrite = (
  this: FileHandle,
  bytes: Buffer,
  from: number,
  length: number | undefined,
  position: number | null | undefined,
) => Promise<unknown>;

describe('the files of a chain', () => {
  it('are those with a number of six digits or more, in the order of their numbers', async () => {
    for (const name of [
      ...['1000000.jsonl', '000010.jsonl', '000002.jsonl', '999999.jsonl'],
      ...['00001.jsonl', 'x000001.jsonl', '000001.jsonl.gz', '000001xjsonl', 'end.json', 'lock'],
    ]) {
      folder.write(name, '');
    }
    expect(await listChainFiles(folder.path)).toEqual(
      [2, 10, 999_999, 1_000_000].map((number) => chainFile(folder.path, number)),
    );
    expect(chainFile('a', 12)).toEqual({ number: 12, path: 'a/000012.jsonl' });
  });

  it('are found by chain, those with numbers in their names by these, and one that has lost its files', async () => {
    for (const name of ['server-10', 'server-2', 'cli', 'Zoe', 'other']) {
      mkdirSync(join(folder.path, name));
    }
    for (const name of ['server-10/000001.jsonl', 'Zoe/000007.jsonl', 'cli/end.json']) {
      folder.write(name, '');
      folder.write(join(name, '../another'), '');
    }
    folder.write('server-2/000001.jsonl', '');
    folder.write('other/000001.jsonl.gz', '');
    folder.write('a-file', '');
    expect(await listChains(folder.path)).toEqual(
      ['cli', 'server-2', 'server-10', 'Zoe'].map((name) => ({
        name,
        path: join(folder.path, name),
      })),
    );
    const path = join(folder.path, 'Zoe');
    expect(await listChains(path)).toEqual([{ name: 'Zoe', path }]);
    expect(await listChains(join(folder.path, 'other'))).toEqual([]);
  });

  it('are no pipes, which would block whoever opens them', async () => {
    const path = join(folder.path, 'pipe');
    execFileSync('mkfifo', [path]);
    await expect(openPlainFile(path, 'read')).rejects.toThrow(`${path} is not a plain file`);
    await expect(openPlainFile(folder.path, 'read')).rejects.toThrow('is not a plain file');
    expect(openIn(folder.path)).toEqual([]);
  });

  it('are opened for what is asked, and no more', async () => {
    const path = folder.write('file', 'old');
    await expect(openPlainFile(path, 'create', 0o600)).rejects.toMatchObject({ code: 'EEXIST' });
    const missing = join(folder.path, 'missing');
    for (const purpose of ['read', 'update', 'append'] as const) {
      await expect(openPlainFile(missing, purpose)).rejects.toMatchObject({ code: 'ENOENT' });
    }
    await using read = await openPlainFile(path, 'read');
    await expect(read.write('x')).rejects.toMatchObject({ code: 'EBADF' });
    await using update = await openPlainFile(path, 'update');
    await update.write('OL', 0);
    await using append = await openPlainFile(path, 'append');
    await append.write('!', null);
    await using created = await openPlainFile(missing, 'create', 0o600);
    await created.write('1', null);
    await created.write('2', 0);
    expect([readFileSync(path, 'utf8'), readFileSync(missing, 'utf8')]).toEqual(['OLd!', '12']);
  });
});

describe('what is written', () => {
  it.each<[string, (handle: FileHandle, bytes: Buffer) => Promise<void>]>([
    ['at the end', appendBytes],
    ['at a place', (handle, bytes) => writeBytesAt(handle, bytes, 4)],
  ])('%s is there as a whole where the disk takes three bytes at a time', async (_, write) => {
    folder.write('file', '0123');
    const path = join(folder.path, 'file');
    const handles = (await fileHandlePrototype()) as unknown as Record<'write', DiskWrite>;
    const { write: original } = handles;
    vi.spyOn(handles, 'write').mockImplementation(function (this: FileHandle, ...args) {
      const [bytes, from, , position] = args;
      const length = Math.min(3, bytes.length - from);
      return original.call(this, bytes, from, length, position);
    });
    await using handle = await openPlainFile(path, write === appendBytes ? 'append' : 'update');
    await write(handle, Buffer.from('abcdefgh'));
    expect(readFileSync(path, 'utf8')).toBe('0123abcdefgh');
  });
});

it('a file is told from another one by numbers that a double can’t hold', async () => {
  folder.write('file', '');
  await using handle = await openPlainFile(join(folder.path, 'file'), 'read');
  const inode = 2n ** 60n + 1n;
  // what some file systems have, and none here
  vi.spyOn(fs, 'fstatSync').mockImplementation(
    (_, options) =>
      (options?.bigint === true
        ? { dev: 7n, ino: inode }
        : { dev: 7, ino: Number(inode) }) as never,
  );
  syncBuiltinESMExports();
  expect(identify(handle)).toEqual({ device: '7', inode: '1152921504606846977' });
});

describe('lines', () => {
  it.each([
    ['', [], 0],
    ['a', [], 0],
    ['\n', [''], 1],
    ['a\n', ['a'], 2],
    ['a\n\nb\nc', ['a', '', 'b'], 5],
  ])('of %j', (text, lines, bytes) => {
    expect(texts(splitLines(Buffer.from(text)))).toEqual(lines);
    expect(countWholeLineBytes(Buffer.from(text))).toBe(bytes);
  });

  it.each([
    ['', 2, [], 0],
    ['x', 2, [], 0],
    ['a\nb\nc\nd', 2, ['b', 'c'], 6],
    ['a\nb\nc\n', 3, ['a', 'b', 'c'], 6],
    ['a\nb\n', 3, ['a', 'b'], 4],
  ])('the last of %j', async (text, count, lines, end) => {
    const path = folder.write('file', text);
    await using handle = await open(path);
    const found = await readLastLines(handle, text.length, count);
    expect({ lines: texts(found.lines), end: found.end }).toEqual({ lines, end });
  });

  it.each([
    // from its middle, from just behind the line feed before, and from the line feed itself
    ['long', 65_536 - 20],
    ['as long as what is read first', 65_535],
    ['one byte shorter', 65_534],
    ['one byte longer', 65_536],
    ['longer than twice that', 200_000],
  ])('the last one where it is %s', async (_, length) => {
    const line = 'x'.repeat(length);
    const path = folder.write('file', `first\nsecond\n${line}\n`);
    await using handle = await open(path);
    const size = 13 + length + 1;
    expect(texts((await readLastLines(handle, size, 1)).lines)).toEqual([line]);
    expect(await readLastLines(handle, size, 2)).toMatchObject({ end: size, lines: { length: 2 } });
    expect(texts((await readLastLines(handle, size, 3)).lines)).toEqual(['first', 'second', line]);
  });

  it('are read as far as the file goes', async () => {
    const path = folder.write('file', '0123456789');
    await using handle = await open(path);
    expect(String(await readBytes(handle, 2, 4))).toBe('2345');
    expect(String(await readBytes(handle, 8, 4))).toBe('89');
    expect(String(await readBytes(handle, 20, 4))).toBe('');
  });

  it('of a file that has none are not read to its end', async () => {
    const path = folder.write('file', '');
    truncateSync(path, 20 * 1_048_576);
    const lines: { readonly length: number; readonly isWhole: boolean }[] = [];
    for await (const { bytes, isWhole } of readLines(path)) {
      lines.push({ length: bytes.length, isWhole });
    }
    // the first piece beyond 16 MiB
    expect(lines).toEqual([{ length: 17 * 1_048_576, isWhole: false }]);
    expect(openIn(folder.path)).toEqual([]);
  });

  it('are whole where a piece that is read ends within them, be it by a byte', async () => {
    for (const begun of [0, 1, 2]) {
      const first = 'x'.repeat(1_048_576 - 1 - begun);
      folder.write('file', `${first}\nabc\n`);
      const lines: string[] = [];
      for await (const { bytes } of readLines(join(folder.path, 'file'))) lines.push(String(bytes));
      expect(lines.map((line) => line.length)).toEqual([first.length, 3]);
      expect(lines[1]).toBe('abc');
    }
  });

  it('are told from what follows the last line feed', async () => {
    const read = async (text: string): Promise<unknown[]> => {
      const lines: unknown[] = [];
      for await (const { bytes, isWhole } of readLines(folder.write('file', text))) {
        lines.push(String(bytes), isWhole);
      }
      return lines;
    };
    expect(await read('')).toEqual([]);
    expect(await read('a\n')).toEqual(['a', true]);
    expect(await read('a\n\nb')).toEqual(['a', true, '', true, 'b', false]);
    const long = 'x'.repeat(1_500_000);
    expect(await read(`a\n${long}\nb\n`)).toEqual(['a', true, long, true, 'b', true]);
  });
});

describe('the tail of a chain', () => {
  const write = (number: number, text: string): string =>
    folder.write(`${String(number).padStart(6, '0')}.jsonl`, text);

  async function nextOf(tail: ReturnType<typeof createChainTail>): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of tail.next()) lines.push(String(line));
    return lines;
  }

  it('has the last lines, over files, and then those that are added', async () => {
    write(1, 'a\nb\n');
    write(2, 'c\nd\n');
    write(3, 'e\nf');
    const tail = createChainTail(folder.path);
    expect(texts(await tail.last(2))).toEqual(['d', 'e']);
    expect(await nextOf(tail)).toEqual([]);
    write(3, 'e\nf\ng\nh');
    expect(await nextOf(tail)).toEqual(['f', 'g']);
    write(3, 'e\nf\ng\nh\n');
    write(4, 'i\n');
    write(5, '');
    expect(await nextOf(tail)).toEqual(['h', 'i']);
    write(5, 'j\n');
    expect(await nextOf(tail)).toEqual(['j']);
    expect(openIn(folder.path)).toEqual([]);
  });

  it.each([
    [1, ['e']],
    [3, ['c', 'd', 'e']],
    [4, ['b', 'c', 'd', 'e']],
    [9, ['a', 'b', 'c', 'd', 'e']],
  ])('of %i lines', async (count, lines) => {
    write(1, 'a\nb\n');
    write(2, 'c\nd\n');
    write(3, 'e\n');
    const tail = createChainTail(folder.path);
    expect(texts(await tail.last(count))).toEqual(lines);
    expect(await nextOf(tail)).toEqual([]);
  });

  it('begins with the first line where nobody asks for the last ones', async () => {
    const long = 'x'.repeat(700_000);
    write(1, `a\n${long}\n${long}\nb\n`);
    write(3, 'c\n');
    const tail = createChainTail(folder.path);
    expect(await nextOf(tail)).toEqual(['a', long, long, 'b', 'c']);
    expect(await nextOf(tail)).toEqual([]);
  });
});
