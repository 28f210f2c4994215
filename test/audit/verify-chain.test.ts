import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokenChainError, verifyChain } from '../../src/audit/verify-chain.ts';
import { TestLog, filesOf, numbered } from './test-log.ts';
import { fc } from '../support/fast-check.ts';

describe('verifying a chain', () => {
  let test: TestLog;
  let files: string[];
  let originals: Buffer[];
  let last: string | undefined;

  beforeAll(async () => {
    test = new TestLog();
    const log = await test.open(4_096);
    for (let number = 0; number < 30; number += 1) await log.write(numbered(number));
    await test.closeAll();
    files = filesOf(test.chain);
    originals = files.map((file) => readFileSync(file));
    last = (await verifyChain(test.chain)).last?.hash;
    expect(files.length).toBeGreaterThan(2);
  });

  afterAll(() => test[Symbol.asyncDispose]());

  const restore = (): void => {
    files.forEach((file, index) => writeFileSync(file, originals[index] ?? ''));
  };

  /** Whether a change to one of the files is found. */
  async function isFound(index: number, changed: Buffer | string): Promise<boolean> {
    writeFileSync(files[index] ?? '', changed);
    try {
      const { last: end, tornBytes } = await verifyChain(test.chain);
      // a torn last line is told of, and leaves the chain shorter
      return tornBytes > 0 && end?.hash !== last;
    } catch (error) {
      if (error instanceof BrokenChainError) return true;
      throw error;
    } finally {
      restore();
    }
  }

  const anyFile = fc.nat().map((number) => number % 3);
  const bytesOf = (index: number): Buffer => Buffer.from(originals[index] ?? Buffer.alloc(0));
  const linesOf = (index: number): string[] => bytesOf(index).toString().split('\n').slice(0, -1);
  const joinLines = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

  it('finds any changed byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyFile,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (index, at, by) => {
          const bytes = bytesOf(index);
          const position = at % bytes.length;
          bytes[position] = ((bytes[position] ?? 0) + by) % 256;
          expect(await isFound(index, bytes)).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('finds any changed byte of the last hash and what follows it, the line feed included', async () => {
    const index = files.length - 1;
    for (let back = 1; back <= ',"hash":""}'.length + 64 + 1; back += 1) {
      const bytes = bytesOf(index);
      const position = bytes.length - back;
      bytes[position] = (bytes[position] ?? 0) ^ 1;
      expect(await isFound(index, bytes), `byte ${back} from the end`).toBe(true);
    }
  });

  it('finds any removed and any inserted byte', async () => {
    await fc.assert(
      fc.asyncProperty(anyFile, fc.nat(), fc.option(fc.nat(255)), async (index, at, byte) => {
        const bytes = bytesOf(index);
        const position = at % bytes.length;
        const changed = Buffer.concat([
          bytes.subarray(0, position),
          Buffer.from(byte === null ? [] : [byte]),
          bytes.subarray(byte === null ? position + 1 : position),
        ]);
        expect(await isFound(index, changed)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('finds lines that were removed, swapped, repeated, or moved to another file', async () => {
    await fc.assert(
      fc.asyncProperty(anyFile, fc.nat(), fc.nat(), fc.nat(3), async (index, a, b, how) => {
        const lines = linesOf(index);
        // the end of the last file is what nothing in the chain can vouch for
        const count = index === files.length - 1 ? lines.length - 1 : lines.length;
        const from = a % count;
        const to = b % count;
        const [line = ''] = lines.slice(from, from + 1);
        if (how === 0) lines.splice(from, 1);
        else if (how === 1) {
          fc.pre(from !== to);
          [lines[from], lines[to]] = [lines[to] ?? '', line];
        } else if (how === 2) lines.splice(to, 0, line);
        else lines.splice(to, 0, linesOf((index + 1) % 3)[0] ?? '');
        expect(await isFound(index, joinLines(lines))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('finds a record that was written anew with a right hash', async () => {
    const lines = linesOf(1);
    const changed = (lines[5] ?? '').replace(/"use":"\d+"/, '"use":"another"');
    const covered = changed.slice(0, changed.lastIndexOf(',"hash"'));
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(covered));
    lines[5] = `${covered},"hash":"${Buffer.from(digest).toString('hex')}"}`;
    writeFileSync(files[1] ?? '', joinLines(lines));
    await expect(verifyChain(test.chain)).rejects.toThrow(
      `${files[1]} line 7: it does not carry the hash of the record before`,
    );
    restore();
  });

  it('finds a file that is missing between others, or is empty, or ends in the middle of a line', async () => {
    const middle = files[1] ?? '';
    rmSync(middle);
    await expect(verifyChain(test.chain)).rejects.toThrow(/000003.jsonl line 1: .* 2, is missing/);
    writeFileSync(middle, '');
    await expect(verifyChain(test.chain)).rejects.toThrow(/000003.jsonl line 1: record/);
    writeFileSync(middle, bytesOf(1).subarray(0, -10));
    await expect(verifyChain(test.chain)).rejects.toThrow(
      /000002.jsonl line \d+: this is no record/,
    );
    restore();
  });

  it('takes the first record there is where the files before it were archived', async () => {
    const archived = `${files[0]}.archived`;
    renameSync(files[0] ?? '', archived);
    const verified = await verifyChain(test.chain);
    renameSync(archived, files[0] ?? '');
    expect(verified.files).toBe(files.length - 1);
    expect(verified.first?.seq).toBe(linesOf(0).length + 1);
    expect(verified.first?.prev).toBe(
      (JSON.parse(linesOf(0).at(-1) ?? '') as { hash: string }).hash,
    );
  });

  it('tells of a last line that is being written, and refuses what can be none', async () => {
    const file = files.at(-1) ?? '';
    const { last: end } = await verifyChain(test.chain);
    const next = `{"seq":${(end?.seq ?? 0) + 1},"time":"2026-11-20T16:00:00.000Z","prev":"${end?.hash}","kind":"sig`;
    for (const length of [1, 10, 30, 60, 120, next.length]) {
      restore();
      appendFileSync(file, next.slice(0, length));
      expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: length, last: end });
    }
    for (const rest of ['x', '{"seq":1,', next.replace(end?.hash ?? '', '0'.repeat(64))]) {
      restore();
      appendFileSync(file, rest);
      await expect(verifyChain(test.chain)).rejects.toThrow(BrokenChainError);
    }
    restore();
  });

  it('shows each record with the bytes of its line, one after the other', async () => {
    const seen: unknown[] = [];
    let underWay = 0;
    const {
      first,
      last: end,
      records,
    } = await verifyChain(test.chain, async (record, line) => {
      underWay += 1;
      await Promise.resolve();
      seen.push([underWay, record.seq, JSON.parse(String(line))]);
      expect(JSON.parse(String(line))).toEqual(record);
      underWay -= 1;
    });
    expect(seen).toHaveLength(records);
    expect(seen.map((each) => (each as unknown[])[0])).toEqual(seen.map(() => 1));
    expect([first?.seq, end?.seq]).toEqual([1, records]);
  });

  it('names the error, and the line behind the last where the end was cut off', async () => {
    const index = files.length - 1;
    const lines = linesOf(index);
    const noted = (await verifyChain(test.chain)).records;
    writeFileSync(files[index] ?? '', joinLines(lines.slice(0, -1)));
    const error = await verifyChain(test.chain).catch((caught: unknown) => caught);
    restore();
    expect(error).toMatchObject({
      name: 'BrokenChainError',
      message: `${files[index]} line ${lines.length}: the chain ends before record ${noted}, which was written: its end was cut off, or files were taken away`,
    });
  });

  it('finds that all files were taken away, and another last record than the one that was noted', async () => {
    for (const file of files) renameSync(file, `${file}.away`);
    await expect(verifyChain(test.chain)).rejects.toThrow(
      `${files.at(-1)} line 1: the chain ends before record`,
    );
    for (const file of files) renameSync(`${file}.away`, file);
    const lines = linesOf(files.length - 1);
    const covered = (lines.at(-1) ?? '').replace(/"use":"\d+"/, '"use":"another"').slice(0, -75);
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(covered));
    lines.splice(-1, 1, `${covered},"hash":"${Buffer.from(digest).toString('hex')}"}`);
    writeFileSync(files.at(-1) ?? '', joinLines(lines));
    const found = verifyChain(test.chain);
    await expect(found).rejects.toThrow(
      `line ${lines.length}: this is not the record that was written`,
    );
    restore();
  });

  it('takes a torn first line where the files before it were archived, in the last file alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-chain-'));
    const second = join(folder, '000002.jsonl');
    writeFileSync(second, '{"seq":9');
    expect(await verifyChain(folder)).toEqual({
      ...{ files: 1, records: 0, first: undefined, last: undefined, tornBytes: 8, lines: 1 },
    });
    writeFileSync(join(folder, '000003.jsonl'), '');
    await expect(verifyChain(folder)).rejects.toThrow(`${second} line 1: this is no record`);
    rmSync(folder, { recursive: true });
  });

  it('finds nothing wrong with a folder that has no files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-chain-'));
    expect(await verifyChain(folder)).toMatchObject({ files: 0, records: 0, tornBytes: 0 });
    rmSync(folder, { recursive: true });
  });
});
