import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  type ChainHead,
  decodeRecord,
  emptyChain,
  encodeRecords,
  isTornRecord,
} from '../../src/audit/record.ts';

const time = '2026-01-01T00:00:00.000Z';

const lineOf = (covered: string): Buffer =>
  Buffer.from(`${covered},"hash":"${hash('sha256', covered)}"}`);

describe('a line of a log', () => {
  const fields = { seq: 1, time, prev: emptyChain.hash, kind: 'start' };
  const coveredBy = (value: unknown): string => JSON.stringify(value).slice(0, -1);

  it('is read where its hash is that of its bytes', () => {
    expect(emptyChain).toEqual({ seq: 0, hash: '0'.repeat(64) });
    expect(decodeRecord(lineOf(coveredBy(fields)))).toMatchObject(fields);
    const changed = String(lineOf(coveredBy(fields))).replace('start', 'stArt');
    expect(decodeRecord(Buffer.from(changed))).toBe('its hash is not that of its content');
  });

  it.each<[string, Buffer]>([
    ['is shorter than a hash', Buffer.from('{"seq":1}')],
    ['is empty', Buffer.alloc(0)],
    ['has a hash behind no JSON', lineOf('{"seq":')],
    ['has a hash behind nothing', lineOf('')],
    ...Object.keys(fields).flatMap((name): [string, Buffer][] => [
      [`lacks its ${name}`, lineOf(coveredBy({ ...fields, [name]: undefined }))],
      [`has another kind of ${name}`, lineOf(coveredBy({ ...fields, [name]: null }))],
    ]),
    ['has a number that is none', lineOf(coveredBy({ ...fields, seq: 1.5 }))],
  ])('that %s is no record', (_, line) => {
    expect(decodeRecord(line)).toBe('this is no record');
  });
});

describe('a record', () => {
  it.each(['a\u0301', '\u00e1', 'ﬁ', '\u{1f600}', '\ud83d', 'a\u0000b\n', '\u2028'])(
    'has a text as it was, character by character: %j',
    (message) => {
      const { lines, head } = encodeRecords([{ kind: 'denied', message }], emptyChain, time);
      expect(lines.split('\n')).toHaveLength(2);
      const record = decodeRecord(Buffer.from(lines.slice(0, -1)));
      expect(record).toMatchObject({ kind: 'denied', message, hash: head.hash });
    },
  );

  it('is covered by its hash to its end, however long it is', () => {
    const text = 'é'.repeat(1_000_000);
    const { lines, head } = encodeRecords([{ kind: 'denied', text, last: 'a' }], emptyChain, time);
    const line = lines.slice(0, -1);
    expect(decodeRecord(Buffer.from(line))).toMatchObject({ last: 'a', hash: head.hash });
    const changed = line.replace('"last":"a"', '"last":"b"');
    expect(decodeRecord(Buffer.from(changed))).toBe('its hash is not that of its content');
  });
});

describe('the beginning of a record', () => {
  const head: ChainHead = { seq: 8, hash: 'ab'.repeat(32) };
  const { lines } = encodeRecords([{ kind: 'denied', message: 'ü","hash":"' }], head, time);
  const line = Buffer.from(lines.slice(0, -1));
  const isTorn = (text: string): boolean => isTornRecord(Buffer.from(text), head);

  it('is any part of it, the whole of it without its line feed too', () => {
    for (let length = 0; length <= line.length; length += 1) {
      expect(isTornRecord(line.subarray(0, length), head), `${length} bytes`).toBe(true);
    }
  });

  it.each<[string, string]>([
    ['has another number', String(line).replace('"seq":9', '"seq":8')],
    ['has another number, and is short', '{"seq":8'],
    ['follows another record', String(line).replace('abab', 'baba')],
    ['has no time', String(line).replace('"time"', '"Time"')],
    ['has something behind its end', `${String(line)}x`],
    ['has a record behind its end', `${String(line)}{"seq":10`],
    ['begins with something else', ` ${String(line)}`],
  ])('is nothing that %s', (_, text) => {
    expect(isTorn(text)).toBe(false);
  });

  it('may have the hash of another record in what it says', () => {
    const said = `{"seq":9,"time":"${time}","prev":"${head.hash}","message":"`;
    expect(isTorn(`${said},"hash":"${head.hash}"}`)).toBe(true);
  });
});
