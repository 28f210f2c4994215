import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type WatchedFile, openWatchedFile } from '../../src/config/watched-file.ts';
import { ConfigError } from '../../src/errors.ts';
import { fileHandlePrototype } from '../audit/test-log.ts';
import { Folder } from '../cli/cli.ts';

type Line = { level: string; message: string } & Record<string, unknown>;

const opened: WatchedFile<string>[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const file of opened.splice(0)) file.close();
});

/** Takes texts that begin with "good". */
function watch(path: string): { file: WatchedFile<string>; lines: Line[] } {
  const lines: Line[] = [];
  const file = openWatchedFile({
    path,
    parse: (text) => {
      if (text.startsWith('good')) return text;
      throw new ConfigError('CONFIG_INVALID', `"${text}" is bad`);
    },
    log: (level, message, fields) => lines.push({ level, message, ...fields }),
  });
  opened.push(file);
  return { file, lines };
}

const patient = { timeout: 60_000, interval: 20 };

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

describe('a watched file', () => {
  it('is refused when it does not exist, or is bad, at the start', () => {
    using folder = new Folder();
    const missing = join(folder.path, 'absent');
    expect(() => watch(missing)).toThrow(`file ${missing} can't be read: it does not exist`);
    expect(() => watch(folder.write('file', 'evil'))).toThrow('"evil" is bad');
    expect(process.listenerCount('SIGHUP')).toBe(0);
  });

  it('is read again when it is written, and says from which content to which', async () => {
    using folder = new Folder();
    const path = folder.write('file', 'good 1');
    const { file, lines } = watch(path);
    expect(file.current()).toBe('good 1');
    folder.write('file', 'good 2');
    await vi.waitFor(() => expect(file.current()).toBe('good 2'), patient);
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'file reloaded',
        path,
        before: sha256('good 1').slice(0, 16),
        sha256: sha256('good 2').slice(0, 16),
      },
    ]);
  });

  it('keeps what was in force when the new content is bad, says so once, and takes the next good one', async () => {
    using folder = new Folder();
    const path = folder.write('file', 'good 1');
    const { file, lines } = watch(path);
    folder.write('file', 'evil');
    await vi.waitFor(() => expect(lines).not.toEqual([]), patient);
    expect(lines).toEqual([
      {
        level: 'error',
        message: 'file not reloaded: what was in force stays',
        path,
        problem: '"evil" is bad',
        retries: 'when it has changed',
        inForce: sha256('good 1').slice(0, 16),
      },
    ]);
    expect(file.current()).toBe('good 1');
    expect(file.problem()).toBe('invalid');
    folder.write('file', 'good 1');
    await vi.waitFor(() => expect(lines).toHaveLength(2), patient);
    expect(file.problem()).toBeUndefined();
    expect(lines[1]).toMatchObject({ level: 'info', message: 'file reloaded' });
    folder.write('file', 'good 3');
    await vi.waitFor(() => expect(file.current()).toBe('good 3'), patient);
  });

  it('is read again when another file is renamed onto it', async () => {
    using folder = new Folder();
    const path = folder.write('file', 'good 1');
    const { file } = watch(path);
    for (const text of ['good 2', 'good 3']) {
      renameSync(folder.write('next', text), path);
      await vi.waitFor(() => expect(file.current()).toBe(text), patient);
    }
  });

  it("is read again when a link on the way to it is replaced, as Kubernetes' volumes do", async () => {
    using folder = new Folder();
    const at = (name: string): string => join(folder.path, name);
    const publish = (version: string, text: string): void => {
      mkdirSync(at(version));
      writeFileSync(join(at(version), 'file'), text);
      symlinkSync(version, at('..data_tmp'));
      renameSync(at('..data_tmp'), at('..data'));
    };
    publish('..2026_1', 'good 1');
    symlinkSync('..data/file', at('file'));
    const { file } = watch(at('file'));
    expect(file.current()).toBe('good 1');
    publish('..2026_2', 'good 2');
    rmSync(at('..2026_1'), { recursive: true });
    await vi.waitFor(() => expect(file.current()).toBe('good 2'), patient);
  });

  it('stays in force while the file is away, and says so', async () => {
    using folder = new Folder();
    const path = folder.write('file', 'good 1');
    const { file, lines } = watch(path);
    rmSync(path);
    await vi.waitFor(() => expect(lines).not.toEqual([]), patient);
    expect(lines).toMatchObject([
      { level: 'error', problem: `file ${path} can't be read: it does not exist` },
    ]);
    expect(file.current()).toBe('good 1');
    folder.write('file', 'good 2');
    await vi.waitFor(() => expect(file.current()).toBe('good 2'), patient);
  });

  it('says nothing of a file that was written with the same content', async () => {
    using folder = new Folder();
    const path = folder.write('file', 'good 1');
    const { file, lines } = watch(path);
    utimesSync(path, 1, 1);
    await delay(1_000);
    folder.write('file', readFileSync(path, 'utf8'));
    await delay(1_000);
    expect(lines).toEqual([]);
    expect(file.current()).toBe('good 1');
  });

  it('is read again at SIGHUP with all others, even when nothing has changed', async () => {
    using folder = new Folder();
    const one = watch(folder.write('one', 'good 1'));
    const two = watch(folder.write('two', 'good 2'));
    expect(process.listenerCount('SIGHUP')).toBe(1);
    folder.write('one', 'good 3');
    process.emit('SIGHUP');
    await vi.waitFor(() => expect([one.lines, two.lines]).not.toContainEqual([]), patient);
    expect(one.file.current()).toBe('good 3');
    expect([one.lines, two.lines]).toMatchObject([
      [{ message: 'file reloaded' }],
      [{ message: 'file reloaded', sha256: sha256('good 2').slice(0, 16) }],
    ]);
  });

  it.each(['EIO', 'EMFILE', 'ESTALE'])(
    'that could not be read for a moment (%s) is tried again until it can, and says so once',
    async (code) => {
      using folder = new Folder();
      const path = folder.write('file', 'good 1');
      const { file, lines } = watch(path);
      const handles = await fileHandlePrototype();
      const readFile = vi.spyOn(handles, 'readFile');
      const failure = Object.assign(new Error(code), { code });
      for (let count = 0; count < 4; count += 1) readFile.mockRejectedValueOnce(failure);
      folder.write('file', 'good 2');
      await vi.waitFor(() => expect(file.problem()).toBe('unreadable'), patient);
      await vi.waitFor(() => expect(file.current()).toBe('good 2'), patient);
      expect(file.problem()).toBeUndefined();
      expect(readFile.mock.calls.length).toBeGreaterThanOrEqual(5);
      expect(lines).toMatchObject([
        { level: 'error', retries: 'until it can be read' },
        { level: 'info', message: 'file reloaded' },
      ]);
    },
  );

  const noFile = 'it is no plain file, but a pipe or a device';

  it.each<[string, string, (path: string) => void]>([
    ['a pipe', noFile, (path) => void execFileSync('mkfifo', [path])],
    ['a folder', 'it is a folder', (path) => mkdirSync(path)],
    ['a device', noFile, (path) => symlinkSync('/dev/zero', path)],
  ])(
    'that becomes %s stops nothing, and is read again once it is a file',
    async (_, says, make) => {
      using folder = new Folder();
      const path = folder.write('file', 'good 1');
      const { file, lines } = watch(path);
      rmSync(path);
      make(path);
      await vi.waitFor(() => {
        expect(lines.at(-1)).toMatchObject({ problem: `file ${path} can't be read: ${says}` });
      }, patient);
      expect([file.current(), file.problem()]).toEqual(['good 1', 'unreadable']);
      expect(() => watch(path)).toThrow(says);
      rmSync(path, { recursive: true });
      folder.write('file', 'good 2');
      await vi.waitFor(() => expect(file.current()).toBe('good 2'), patient);
    },
  );

  it('is left alone once closed', async () => {
    using folder = new Folder();
    const one = watch(folder.write('one', 'good 1'));
    const two = watch(folder.write('two', 'good 1'));
    one.file.close();
    folder.write('one', 'good 2');
    folder.write('two', 'good 2');
    process.emit('SIGHUP');
    await vi.waitFor(() => expect(two.file.current()).toBe('good 2'), patient);
    await delay(1_000);
    expect(one.file.current()).toBe('good 1');
    two.file.close();
    expect(process.listenerCount('SIGHUP')).toBe(0);
  });
});
