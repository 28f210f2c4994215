import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type NotedEnd, openEndNote, readNotedEnd } from '../../src/audit/noted-end.ts';
import { noteVerified, readVerified } from '../../src/audit/verified-note.ts';
import { Folder } from '../cli/cli.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});

const end: NotedEnd = {
  file: 3,
  device: '65024',
  inode: '18446744073709551615',
  size: 123_456,
  seq: 42,
  hash: 'ab'.repeat(32),
};

const withSum = (text: string): string =>
  text.padEnd(384) + createHash('sha256').update(text.padEnd(384)).digest('hex');

describe('the note of an end', () => {
  it('is replaced in place, in as many bytes, and read as it was written', async () => {
    expect(await readNotedEnd(folder.path)).toBeUndefined();
    const note = await openEndNote(folder.path);
    const path = join(folder.path, 'end.json');
    await note.write(end);
    expect(await readNotedEnd(folder.path)).toEqual(end);
    expect(readFileSync(path, 'latin1')).toBe(withSum(JSON.stringify(end)));
    await note.write({ ...end, size: 1 });
    await note.close();
    expect(await readNotedEnd(folder.path)).toEqual({ ...end, size: 1 });
    expect(statSync(path).size).toBe(384 + 64);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a number', 1],
    ['a text', 'x'],
    ...Object.keys(end).flatMap((name): [string, unknown][] => [
      [`without ${name}`, { ...end, [name]: undefined }],
      [`with another kind of ${name}`, { ...end, [name]: [] }],
    ]),
    ['with a size that is no number of bytes', { ...end, size: 1.5 }],
  ])('is none where it holds %s', async (_, value) => {
    folder.write('end.json', withSum(JSON.stringify(value)));
    expect(await readNotedEnd(folder.path)).toBeUndefined();
  });

  it.each<[string, string]>([
    ['is no JSON', withSum('{')],
    ['is empty', ''],
    ['has another checksum', withSum(JSON.stringify(end)).replace(/.$/, 'x')],
    ['ends within its checksum', withSum(JSON.stringify(end)).slice(0, -1)],
  ])('is none where it %s', async (_, text) => {
    folder.write('end.json', text);
    expect(await readNotedEnd(folder.path)).toBeUndefined();
  });

  it('that can’t be read is not taken for one that was never written', async () => {
    mkdirSync(join(folder.path, 'end.json'));
    await expect(readNotedEnd(folder.path)).rejects.toThrow('is not a plain file');
  });
});

describe('the note of a verification', () => {
  it('has its time, for the group to read', async () => {
    const usual = process.umask(0);
    await noteVerified(folder.path, new Date('2026-01-02T03:04:05Z')).finally(() =>
      process.umask(usual),
    );
    const path = join(folder.path, 'verified.json');
    expect(readFileSync(path, 'utf8')).toBe('{"verifiedAt":"2026-01-02T03:04:05.000Z"}\n');
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(await readVerified(folder.path)).toBe('2026-01-02T03:04:05.000Z');
  });

  it.each(['', '{', '{}', 'null', '{"verifiedAt":"yesterday"}'])('is none in %j', async (text) => {
    writeFileSync(join(folder.path, 'verified.json'), text);
    expect(await readVerified(folder.path)).toBeUndefined();
  });

  it('is none where there is no file', async () => {
    expect(await readVerified(folder.path)).toBeUndefined();
  });
});
