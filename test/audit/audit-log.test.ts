import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { TestLog, fileHandlePrototype, filesOf, numbered, recordsOf } from './test-log.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a record', () => {
  it('is one line that carries the hash of the one before and its own over all of it', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.append({ kind: 'key-use', use: 'a-1', subject: { app: 'ünïcode "quoted"\n' } });
    const [start, keyUse] = recordsOf(test.chain);
    expect(start).toMatchObject({ seq: 1, prev: '0'.repeat(64), kind: 'start', cutBytes: 0 });
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
      expect(await verifyChain(test.chain)).toMatchObject({ records: 2, tornBytes: 0 });
      await test.closeAll();
    }
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
    await expect(test.open()).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
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
    expect(refused[0]).toMatchObject({ reason: { code: 'AUDIT_UNAVAILABLE' } });
    expect(await verifyChain(test.chain)).toMatchObject({ records: 10_001 });
    await log.close();
    await expect(log.write(numbered(1))).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
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
    await expect(test.open()).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
  });
});
