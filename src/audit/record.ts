import { hash } from 'node:crypto';
import { tryParseJson } from '../try-parse-json.ts';

/** Amounts are decimal text. */
type Texts = Readonly<Record<string, string | number | boolean>>;

type Field = string | number | undefined | Texts | readonly string[] | readonly Texts[];

/** A record to be written: its kind, then its fields. Never a secret, never a signature. */
export type AuditRecord = { readonly kind: string; readonly [field: string]: Field };

/** Where a chain ends: the number of its last record, and that record's hash (64 hex digits). */
export type ChainHead = { readonly seq: number; readonly hash: string };

/** The head of a chain that has no record yet. */
export const emptyChain: ChainHead = { seq: 0, hash: '0'.repeat(64) };

/** A record of a chain whose own hash was verified. */
export type ChainedRecord = AuditRecord & {
  readonly seq: number;
  /** RFC 3339, when it was written */
  readonly time: string;
  /** the hash of the record before, 64 hex digits */
  readonly prev: string;
  /** SHA-256 over the bytes of its line before `,"hash"`, 64 hex digits */
  readonly hash: string;
};

/** The lines of records that follow `head`, and the head of the chain after them. */
export function encodeRecords(
  records: readonly AuditRecord[],
  head: ChainHead,
  time: string,
): { lines: string; head: ChainHead } {
  let lines = '';
  let { seq, hash: prev } = head;
  for (const record of records) {
    seq += 1;
    const fields = JSON.stringify(record).slice(1, -1);
    const covered = `{"seq":${seq},"time":"${time}","prev":"${prev}",${fields}`;
    prev = hash('sha256', covered);
    lines += `${covered}${endOfLine(prev)}\n`;
  }
  return { lines, head: { seq, hash: prev } };
}

const endOfLine = (hash: string): string => `,"hash":"${hash}"}`;

const endLength = endOfLine(emptyChain.hash).length;

/**
 * Reads one line, given without its line feed. Where its hash is not that of its bytes, or it is not a record, gives the problem
 * as text.
 */
export function decodeRecord(line: Buffer): ChainedRecord | string {
  const covered = line.subarray(0, -endLength);
  const end = line.toString('latin1', covered.length);
  if (end.length !== endLength) return 'this is no record';
  if (end !== endOfLine(hash('sha256', covered))) return 'its hash is not that of its content';
  const record = tryParseJson(line.toString());
  return isChained(record) ? record : 'this is no record';
}

function isChained(value: unknown): value is ChainedRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { seq, time, prev, kind } = value as Readonly<Record<string, unknown>>;
  return (
    Number.isSafeInteger(seq) &&
    typeof time === 'string' &&
    typeof prev === 'string' &&
    typeof kind === 'string'
  );
}

const timeLength = '2026-11-20T16:00:00.000Z'.length;

/**
 * Whether bytes without a line feed may be the beginning of the record after `head`: what an interrupted write leaves, or one
 * that is under way.
 */
export function isTornRecord(bytes: Buffer, { seq, hash: prev }: ChainHead): boolean {
  const text = bytes.toString('latin1');
  const beforeTime = `{"seq":${seq + 1},"time":"`;
  const time = text.slice(beforeTime.length, beforeTime.length + timeLength);
  const start = `${beforeTime}${time}","prev":"${prev}",`;
  const end = /,"hash":"[0-9a-f]{64}"\}/.exec(text);
  const isPastEnd = end !== null && end.index + endLength < text.length;
  return start.startsWith(text.slice(0, start.length)) && !isPastEnd;
}
