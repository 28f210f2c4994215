import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { findBefore, findRequest } from '../../src/audit/find-request.ts';
import { type AuditRecord, emptyChain, encodeRecords } from '../../src/audit/record.ts';
import { Folder } from '../cli/cli.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});

/** Writes a file of a chain, as it would stand in one that has nothing before it; gives the chain. */
function write(
  name: string,
  records: readonly AuditRecord[],
  { time = '2026-01-01T00:00:00.000Z', number = 1, rest = '' } = {},
) {
  const path = join(folder.path, name);
  mkdirSync(path, { recursive: true });
  folder.write(
    join(name, `00000${number}.jsonl`),
    encodeRecords(records, emptyChain, time).lines + rest,
  );
  return { name, path };
}

const use = (name: string, request: string, fields: Readonly<Record<string, string>> = {}) => ({
  kind: 'key-use',
  use: name,
  request,
  ...fields,
});

describe('what became of a request', () => {
  it('is its key uses with their outcomes, or its denial, by chain and in their order', async () => {
    const chains = [
      write('a', [
        use('a-1', 'one'),
        use('a-2', 'two'),
        { kind: 'signed', use: 'a-2' },
        { kind: 'failed', use: 'a-1', code: 'x' },
        use('a-3', 'one'),
        { kind: 'note', subject: { text: '"request":"one"' } },
        { kind: 'note', more: { request: 'one' } },
        { kind: 'note', more: { use: 'a-1' } },
        { kind: 'signed', use: 'a-3' },
      ]),
      // of another process
      write('b', [
        { kind: 'signed', use: 'a-1' },
        { kind: 'denied', request: 'one', use: 'b-9' },
      ]),
    ];
    write(
      'b',
      [
        { kind: 'signed', use: 'b-9' },
        { kind: 'denied', request: 'one' },
      ],
      { number: 2 },
    );
    const { records, broken } = await findRequest(chains, 'one');
    expect(broken).toEqual([]);
    expect(records.map(({ chain, record }) => [chain, record.seq, record.kind])).toEqual([
      ['a', 1, 'key-use'],
      ['a', 4, 'failed'],
      ['a', 5, 'key-use'],
      ['a', 9, 'signed'],
      ['b', 2, 'denied'],
      ['b', 2, 'denied'],
    ]);
    expect(await findRequest(chains, 'three')).toEqual({ records: [], broken: [] });
  });

  it('has the lines that are broken, by file and number, but none that is being written', async () => {
    const broken = '{"kind":"key-use","request":"one"}';
    const chain = write('a', [use('a-1', 'one'), use('a-2', 'two')], {
      rest: `${broken}\nx\n${broken}\n${broken}`,
    });
    const file = join(chain.path, '000001.jsonl');
    const found = await findRequest([chain], 'one');
    expect(found.records).toHaveLength(1);
    expect(found.broken).toEqual([
      `${file} line 3: this is no record`,
      `${file} line 5: this is no record`,
    ]);
  });

  it('is no more than 1,000 of each', async () => {
    const denials = Array.from({ length: 1_002 }, () => ({ kind: 'denied', request: 'one' }));
    const chain = write('a', denials, { rest: '{"request":"one"}\n'.repeat(1_002) });
    const { records, broken } = await findRequest([chain], 'one');
    expect([records.length, broken.length]).toEqual([1_000, 1_000]);
    expect(records[0]?.record.seq).toBe(1);
    expect(broken[0]).toContain('line 1003:');
  });

  it('is looked for by the names of its first 1,000 uses', async () => {
    const uses = Array.from({ length: 1_001 }, (_, index) => use(`a-${index + 1}`, 'one'));
    const outcome = (number: number): string => `{"kind":"failed","use":"a-${number}"}\n`;
    const chain = write('a', uses, { rest: [1_000, 1_001].map(outcome).join('') });
    const { broken } = await findRequest([chain], 'one');
    expect(broken).toEqual([expect.stringContaining('line 1002:')]);
  });
});

describe('what a session did before', () => {
  const payment = (session: string) => ({
    kind: 'key-use',
    intent: 'ticket-batch',
    subject: { session },
  });
  const at = (second: number): string => `2026-01-01T00:00:0${second}.000Z`;

  it('is its last payments and denials in the order of their times, over chains', async () => {
    const chains = ['a', 'b'].map((name) => ({ name, path: join(folder.path, name) }));
    write('a', [payment('s')], { time: at(1) });
    write('a', [{ kind: 'denied', subject: { session: 's' } }], { time: at(3), number: 2 });
    write('a', [payment('s')], { time: at(5), number: 3 });
    write('a', [payment('s')], { time: at(6), number: 4 });
    write('b', [payment('s')], { time: at(2) });
    write('b', [payment('other'), { ...payment('s'), intent: 'segment-credentials' }], {
      time: at(2),
      number: 2,
      rest: '{"kind":"denied","session":"s","time":"2026-01-01T00:00:04.500Z"}\n',
    });
    write('b', [payment('s')], { time: at(4), number: 3 });
    const timesOf = async (before: string, count: number) =>
      (await findBefore(chains, 's', before, count)).map(({ chain, record }) => [
        chain,
        Number(record.time.slice(18, 19)),
      ]);
    const all = [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['b', 4],
      ['a', 5],
    ];
    expect(await timesOf(at(6), 9)).toEqual(all);
    for (const count of [1, 2, 3]) expect(await timesOf(at(6), count)).toEqual(all.slice(-count));
    expect(await timesOf(at(1), 3)).toEqual([]);
  });

  it('keeps the order of the log among those of one time', async () => {
    const chain = write('a', [payment('s'), payment('s'), payment('s')]);
    const found = await findBefore([chain], 's', at(1), 2);
    expect(found.map(({ record }) => record.seq)).toEqual([2, 3]);
  });
});
