import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import {
  TestLog,
  failClose,
  fileHandlePrototype,
  filesOf,
  numbered,
  openIn,
  recordsOf,
} from './test-log.ts';

afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a record', () => {
  it('is one line that carries the hash of the one before and its own over all of it', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.append({ kind: 'key-use', use: 'a-1', subject: { app: 'ünïcode "quoted"\n' } });
    const [start, keyUse] = recordsOf(test.chain);
    expect(start).toMatchObject({ seq: 1, prev: '0'.repeat(64), kind: 'start', cutBytes: 0 });
    expect(start).toMatchObject({ version: '1.2.3' });
    expect(start).not.toHaveProperty('doubt');
    expect(test.logged).toEqual([]);
    expect(keyUse).toMatchObject({
      seq: 2,
      prev: start?.hash,
      kind: 'key-use',
      use: 'a-1',
      subject: { app: 'ünïcode "quoted"\n' },
    });
    expect(Object.keys(keyUse ?? {})).toEqual(
      expect.arrayContaining(['seq', 'time', 'prev', 'kind', 'use', 'subject', 'hash']),
    );
    expect(Math.abs(Date.parse(keyUse?.time ?? '') - Date.now())).toBeLessThan(60_000);

    const line = readFileSync(filesOf(test.chain)[0] ?? '', 'utf8').split('\n')[1] ?? '';
    const covered = line.slice(0, line.lastIndexOf(',"hash"'));
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(covered));
    expect(keyUse?.hash).toBe(Buffer.from(digest).toString('hex'));
  });

  it('is in the file when write resolves', async () => {
    await using test = new TestLog();
    const log = await test.open();
    for (const number of range(20)) {
      await log.write(numbered(number));
      expect(recordsOf(test.chain).at(-1)).toMatchObject(numbered(number));
    }
  });

  it('is synced to disk after it was written when append resolves', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const file = filesOf(test.chain)[0] ?? '';
    const sizesAtSync: number[] = [];
    const handles = await fileHandlePrototype();
    const datasync = handles.datasync;
    vi.spyOn(handles, 'datasync').mockImplementation(async function (this: typeof handles) {
      const { size } = statSync(file);
      await datasync.call(this);
      sizesAtSync.push(size);
    });
    for (const number of range(10)) {
      await log.append(numbered(number));
      expect(sizesAtSync.at(-1)).toBe(statSync(file).size);
    }
    await log.write(numbered(10));
    expect(sizesAtSync).toHaveLength(10);
  });
});

describe('the log', () => {
  it('writes what comes in one turn at once, and keeps its order', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const write = vi.spyOn(await fileHandlePrototype(), 'write');
    await Promise.all([1, 2, 3].map((number) => log.write(numbered(number))));
    expect(write).toHaveBeenCalledTimes(1);
    expect(recordsOf(test.chain).map(({ use }) => use)).toEqual([undefined, '1', '2', '3']);
  });

  it.each([
    [262_144, 0],
    [262_145, 1],
  ])('leaves %i bytes that nobody waits for to the disk, by %i syncs', async (bytes, syncs) => {
    await using test = new TestLog();
    const log = await test.open(1_048_576);
    const [file = ''] = filesOf(test.chain);
    const before = statSync(file).size;
    await log.write({ kind: 'denied', message: '' });
    const empty = statSync(file).size - before;
    const sync = vi.spyOn(await fileHandlePrototype(), 'datasync');
    await log.write({ kind: 'denied', message: 'x'.repeat(bytes - 2 * empty) });
    expect(statSync(file).size - before).toBe(bytes);
    expect(sync).toHaveBeenCalledTimes(syncs);
  });

  it('syncs what nobody waited for when it is closed, and leaves no file open', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.write(numbered(1));
    const sync = vi.spyOn(await fileHandlePrototype(), 'datasync');
    await log.close();
    expect(sync).toHaveBeenCalledTimes(1);
    expect(openIn(test.chain)).toEqual([]);
  });

  it('is closed without an error where the disk fails meanwhile, which it logs', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.write(numbered(1));
    vi.spyOn(await fileHandlePrototype(), 'datasync').mockRejectedValueOnce(new Error('no'));
    await log.close();
    expect(test.logged).toMatchObject([{ level: 'error', fields: { reason: 'no' } }]);
  });

  it('is closed without an error where its file fails to close, which it logs', async () => {
    await using test = new TestLog();
    failClose(join(test.chain, '000001.jsonl'));
    const log = await test.open();
    await log.append(numbered(1));
    await log.close();
    expect(test.logged).toMatchObject([{ level: 'error', fields: { reason: 'no' } }]);
    expect(openIn(test.chain)).toEqual([]);
  });

  it('tells what fails without an error as unknown', async () => {
    await using test = new TestLog();
    const log = await test.open();
    vi.spyOn(await fileHandlePrototype(), 'write').mockRejectedValueOnce('no');
    await expect(log.append(numbered(1))).rejects.toMatchObject({
      message: `the audit log in ${test.chain} can't be written: unknown`,
    });
    expect(test.logged).toMatchObject([{ level: 'error', fields: { reason: 'unknown' } }]);
  });

  it('lets go of its chain where the disk fails at the start', async () => {
    await using test = new TestLog();
    const handles = await fileHandlePrototype();
    vi.spyOn(handles, 'write').mockRejectedValueOnce(new Error('no'));
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: `the audit log in ${test.chain} can't be written: no`,
      retryable: true,
      cause: { message: 'no' },
    });
    expect(openIn(test.chain)).toEqual([]);
    await test.open();
  });

  it('ends a file that has just the size', async () => {
    await using test = new TestLog();
    await test.open();
    const { size } = statSync(filesOf(test.chain)[0] ?? '');
    for (const [maxFileBytes, files] of [
      [size + 1, 1],
      [size, 2],
    ] as const) {
      await using other = new TestLog();
      await (await other.open(maxFileBytes)).append(numbered(1));
      expect(filesOf(other.chain)).toHaveLength(files);
    }
  });

  it('makes what waits at the same time durable with few syncs, in the order given', async () => {
    await using test = new TestLog();
    const log = await test.open(67_108_864);
    const sync = vi.spyOn(await fileHandlePrototype(), 'datasync');
    const clients = 64;
    const each = 50;
    await Promise.all(
      range(clients).map(async (client) => {
        for (const number of range(each)) await log.append(numbered(client * each + number));
      }),
    );
    expect(sync.mock.calls.length).toBeLessThan((clients * each) / 8);
    const uses = recordsOf(test.chain)
      .slice(1)
      .map(({ use }) => Number(use));
    expect(uses.toSorted((a, b) => a - b)).toEqual(range(clients * each));
    for (const client of range(clients)) {
      const own = uses.filter((use) => Math.floor(use / each) === client);
      expect(own).toEqual(own.toSorted((a, b) => a - b));
    }
    expect(await verifyChain(test.chain)).toMatchObject({ records: clients * each + 1 });
  });

  it('ends a file that has grown beyond its size and goes on with the chain in the next', async () => {
    await using test = new TestLog();
    let log = await test.open();
    for (const number of range(1_000))
      await log[number % 3 === 0 ? 'append' : 'write'](numbered(number));
    const files = filesOf(test.chain);
    expect(files.map((file) => file.slice(-12))).toEqual(
      range(files.length).map((index) => `00000${index + 1}.jsonl`),
    );
    expect(files.length).toBeGreaterThan(3);
    for (const file of files.slice(0, -1)) {
      expect(statSync(file).size).toBeGreaterThanOrEqual(65_536);
      expect(statSync(file).size).toBeLessThan(70_000);
    }
    await log.close();
    log = await test.open();
    await log.append(numbered(1_000));
    expect(await verifyChain(test.chain)).toMatchObject({ files: files.length, records: 1_003 });
    expect(recordsOf(test.chain).map(({ seq }) => seq)).toEqual(range(1_003).map((n) => n + 1));
  });

  it('goes on after a file that was left empty, at the end of the one before', async () => {
    await using test = new TestLog();
    await (await test.open()).append(numbered(1));
    await test.closeAll();
    writeFileSync(join(test.chain, '000002.jsonl'), '');
    await (await test.open()).append(numbered(2));
    expect(await verifyChain(test.chain)).toMatchObject({ files: 2, records: 4 });
  });

  it('cuts off a last line that a crash has torn, wherever it was torn, and says so', async () => {
    await using test = new TestLog();
    await (await test.open()).append(numbered(1));
    await test.closeAll();
    const [file = ''] = filesOf(test.chain);
    const whole = readFileSync(file);
    const lastLine = whole.lastIndexOf('\n', whole.length - 2) + 1;
    for (const keep of [lastLine + 1, lastLine + 100, whole.length - 2, whole.length - 1]) {
      writeFileSync(file, whole);
      truncateSync(file, keep);
      await test.open();
      expect(recordsOf(test.chain).at(-1)).toMatchObject({
        kind: 'start',
        seq: 2,
        cutBytes: keep - lastLine,
        doubt: 'last-record-torn',
      });
      expect(test.logged.splice(0)).toMatchObject([
        { level: 'warn', fields: { folder: test.chain, doubt: 'last-record-torn' } },
      ]);
      expect(await verifyChain(test.chain)).toMatchObject({ records: 2, tornBytes: 0 });
      await test.closeAll();
    }
  });

  /** A chain of a start and three records, closed. */
  async function writeChain(test: TestLog): Promise<{ file: string; lines: string[] }> {
    const log = await test.open();
    for (const number of [1, 2, 3]) await log.append(numbered(number));
    await test.closeAll();
    const [file = ''] = filesOf(test.chain);
    return { file, lines: readFileSync(file, 'utf8').split(/(?<=\n)/) };
  }

  it('reads no file as a whole that it has no doubt of', async () => {
    await using test = new TestLog();
    await writeChain(test);
    const read = vi.spyOn(await fileHandlePrototype(), 'createReadStream');
    await test.open();
    await test.closeAll();
    expect(read).not.toHaveBeenCalled();
    rmSync(join(test.chain, 'end.json'));
    await test.open();
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('goes on where the last of many records is torn', async () => {
    await using test = new TestLog();
    const { file, lines } = await writeChain(test);
    writeFileSync(file, lines.join('').slice(0, -10));
    await test.open();
    expect(recordsOf(test.chain).at(-1)).toMatchObject({ seq: 4, doubt: 'last-record-torn' });
  });

  it.each<[string, (lines: readonly string[]) => string]>([
    ['has lost its last record', (lines) => lines.slice(0, 3).join('')],
    ['has lost its last record, and half of one before', (lines) => lines.join('').slice(0, -400)],
    ['ends with something else', (lines) => `${lines.slice(0, 3).join('')}{"seq":5`],
    ['ends with a broken record and a torn one', (lines) => `${lines[0]}x${lines[1]}{"seq":4`],
    [
      'has lost its last record, and goes on in another file',
      (lines) => lines.join('').slice(0, -10),
    ],
  ])('does not go on with a file that %s', async (what, change) => {
    await using test = new TestLog();
    const { file, lines } = await writeChain(test);
    if (what.includes('another file')) writeFileSync(join(test.chain, '000002.jsonl'), '');
    writeFileSync(file, change(lines));
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      retryable: false,
      message: expect.stringMatching(/000001\.jsonl.*put the file back/) as string,
    });
    expect(openIn(test.chain)).toEqual([]);
    expect(filesOf(test.chain).map((path) => statSync(path).size)[0]).toBe(change(lines).length);
  });

  describe('without a note of its end', () => {
    const open = async (test: TestLog, files: Readonly<Record<string, string>>) => {
      rmSync(join(test.chain, 'end.json'));
      for (const [name, text] of Object.entries(files)) writeFileSync(join(test.chain, name), text);
      await test.open();
      return recordsOf(test.chain).at(-1)?.['doubt'];
    };

    it('has no doubt in a first file that is empty, and doubts any other', async () => {
      await using test = new TestLog();
      const { lines } = await writeChain(test);
      expect(await open(test, { '000001.jsonl': '' })).toBeUndefined();
      await test.closeAll();
      const whole = { '000001.jsonl': lines.join('') };
      expect(await open(test, whole)).toBe('end-unknown');
      await test.closeAll();
      expect(await open(test, { ...whole, '000002.jsonl': '' })).toBe('end-unknown');
    });

    it.each<[string, (lines: readonly string[]) => string]>([
      ['is empty', () => ''],
      ['ends within a record', (lines) => `${lines.join('')}{`],
    ])('does not go on in a second file where the first one %s', async (_, change) => {
      await using test = new TestLog();
      const { lines } = await writeChain(test);
      const files = { '000001.jsonl': change(lines), '000002.jsonl': '' };
      await expect(open(test, files)).rejects.toMatchObject({
        retryable: false,
        message: expect.stringContaining('it does not end with a whole record') as string,
      });
    });

    it('does not go on with a second file that does not follow the first', async () => {
      await using test = new TestLog();
      const { lines } = await writeChain(test);
      await expect(
        open(test, {
          '000001.jsonl': lines.slice(0, 2).join(''),
          '000002.jsonl': lines.slice(3).join(''),
        }),
      ).rejects.toMatchObject({
        retryable: false,
        message: expect.stringContaining('record 4 follows record 2') as string,
      });
      expect(openIn(test.chain)).toEqual([]);
    });

    it('tells a chain that can’t be read from one that is broken', async () => {
      await using test = new TestLog();
      const { file } = await writeChain(test);
      vi.spyOn(await fileHandlePrototype(), 'createReadStream').mockImplementationOnce(() => {
        throw Object.assign(new Error('no'), { code: 'EIO' });
      });
      await expect(open(test, {})).rejects.toMatchObject({
        retryable: true,
        message: `the audit log in ${test.chain} can't be opened: no`,
        cause: { code: 'EIO' },
      });
      expect(await open(test, { [basename(file)]: readFileSync(file, 'utf8') })).toBe(
        'end-unknown',
      );
    });
  });

  it('goes on in a second file that its note does not know of, after a verification', async () => {
    await using test = new TestLog();
    const { lines } = await writeChain(test);
    const note = readFileSync(join(test.chain, 'end.json'));
    const log = await test.open(1);
    await log.append(numbered(4));
    await test.closeAll();
    expect(lines).toHaveLength(4);
    const files = filesOf(test.chain);
    expect(files.length).toBeGreaterThan(1);
    for (const path of files.slice(2)) rmSync(path);
    writeFileSync(join(test.chain, 'end.json'), note);
    await test.open();
    expect(recordsOf(test.chain).at(-1)).toMatchObject({ kind: 'start', doubt: 'end-unknown' });
    expect(await verifyChain(test.chain)).toMatchObject({ files: 2, records: 6 });
  });

  it('goes on where the files before the last one were archived', async () => {
    await using test = new TestLog();
    await writeChain(test);
    await (await test.open(1)).append(numbered(4));
    await test.closeAll();
    for (const path of filesOf(test.chain).slice(0, -1)) rmSync(path);
    await test.open();
    const records = recordsOf(test.chain);
    expect(records.at(-1)).toMatchObject({ kind: 'start', prev: records.at(-2)?.hash });
    expect(records.at(-1)).not.toHaveProperty('doubt');
    await test.closeAll();
    const [first = ''] = filesOf(test.chain);
    rmSync(join(test.chain, 'end.json'));
    await test.open();
    expect(filesOf(test.chain)).toEqual([first]);
    expect(recordsOf(test.chain).at(-1)).toMatchObject({ doubt: 'end-unknown' });
  });

  it('begins anew where a crash has torn the very first line', async () => {
    await using test = new TestLog();
    await test.open();
    await test.closeAll();
    truncateSync(filesOf(test.chain)[0] ?? '', 40);
    await test.open();
    expect(recordsOf(test.chain)).toMatchObject([{ seq: 1, kind: 'start', cutBytes: 40 }]);
  });

  it.each([
    ['was changed', (text: string) => text.replace('"signatures":1', '"signatures":2')],
    ['is no record', (text: string) => `${text}{"seq":3}\n`],
    ['is empty', (text: string) => `${text}\n`],
  ])('does not start on a chain whose last record %s', async (_, change) => {
    await using test = new TestLog();
    await (await test.open()).append(numbered(1));
    await test.closeAll();
    const [file = ''] = filesOf(test.chain);
    const before = change(readFileSync(file, 'utf8'));
    writeFileSync(file, before);
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringMatching(
        /000001\.jsonl.*run livepeer-hsm-signer audit verify/,
      ) as string,
    });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('does not start where files before an empty one are missing', async () => {
    await using test = new TestLog();
    await test.open();
    await test.closeAll();
    writeFileSync(join(test.chain, '000007.jsonl'), '');
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      retryable: false,
      message: expect.stringContaining('the file before it is missing') as string,
    });
  });

  it('refuses a second writer of its chain, in this process and in another, until the first has ended', async () => {
    await using test = new TestLog();
    const program = `
      const { createAuditLog } = await import(${JSON.stringify(import.meta.resolve('../../src/audit/audit-log.ts'))});
      const log = () => undefined;
      await createAuditLog({ folder: process.argv[1], chain: 'server-1', maxFileBytes: 65536, log });
      console.log('writing');
      setInterval(() => undefined, 1000);`;
    const other = spawn(process.execPath, ['--input-type=module', '-e', program, test.folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(other, 'exit');
    await once(other.stdout, 'data');
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining('another process writes') as string,
    });
    other.kill('SIGKILL');
    await ended;
    await test.open();
    await expect(test.open()).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    await test.closeAll();
    await test.open();
    expect(await verifyChain(test.chain)).toMatchObject({ records: 3 });
  });

  it('refuses further records when too many wait for the disk, and those after it is closed', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const outcomes = await Promise.allSettled(range(12_000).map((n) => log.write(numbered(n))));
    const refused = outcomes.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(2_000);
    expect(refused[0]).toMatchObject({
      reason: {
        code: 'AUDIT_UNAVAILABLE',
        message: expect.stringContaining('too many records wait') as string,
      },
    });
    expect(await verifyChain(test.chain)).toMatchObject({ records: 10_001 });
    await log.close();
    await expect(log.write(numbered(1))).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: `the audit log in ${test.chain} can't be written: it is closed`,
    });
  });

  it('finishes what is under way when it is closed', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const records = range(100).map((number) => log.append(numbered(number)));
    await log.close();
    await Promise.all(records);
    expect(await verifyChain(test.chain)).toMatchObject({ records: 101 });
  });

  it('does not start where something that is no folder stands in its way', async () => {
    await using test = new TestLog();
    appendFileSync(test.chain, '');
    await expect(test.open()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining("can't be opened") as string,
    });
  });
});
