import type { AuditRecord, ChainedRecord } from '../audit/record.ts';

type Field = AuditRecord[string];

const shownFirst: readonly string[] = ['seq', 'time', 'kind'];
const links: readonly string[] = ['prev', 'hash'];

/** A record as a line for people: when, where, what, and what is known of it. */
export function formatRecord(chain: string, record: ChainedRecord): string {
  const fields = Object.entries(record)
    .filter(([name]) => !shownFirst.includes(name) && !links.includes(name))
    .flatMap(([name, value]) => describeField(name, value));
  return [record.time, `${chain}#${record.seq}`, record.kind, ...fields].join(' ');
}

function describeField(name: string, value: Field): string[] {
  if (value === undefined || value === '') return [];
  if (typeof value === 'string' || typeof value === 'number') {
    return [`${name}=${printable(String(value))}`];
  }
  if (isList(value)) return value.length === 0 ? [] : [`${name}=${value.map(printable).join(',')}`];
  return Object.entries(value).flatMap(([inner, text]) => describeField(`${name}.${inner}`, text));
}

function isList(value: Field): value is readonly string[] {
  return Array.isArray(value);
}

/** Callers chose some of the text: nothing of it may reach a terminal as anything but visible characters. */
function printable(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const columns = [
  'seq',
  'time',
  'kind',
  'use',
  'request',
  'principal',
  'tenant',
  'intent',
  'key',
  'sender',
  'verdict',
  'rules',
  'observed',
  'digests',
  'amounts',
  'subject',
  'usage',
  'signatures',
  'latencyMs',
  'code',
  'rule',
  'message',
  'hash',
] as const;

/** The names of the columns of {@link formatCsvRow}. */
export const csvHeader = ['chain', ...columns, 'more'].join(',');

/** A record as a row of CSV (RFC 4180); lists are set apart by blanks, and what has no column of its own is JSON in the last. */
export function formatCsvRow(chain: string, record: ChainedRecord): string {
  const names: readonly string[] = columns;
  const more = Object.entries(record).filter(([name]) => name !== 'prev' && !names.includes(name));
  const cells = columns.map((column) => toCell(record[column]));
  const rest = more.length === 0 ? '' : JSON.stringify(Object.fromEntries(more));
  return [chain, ...cells, rest].map(quoteCell).join(',');
}

function toCell(value: Field): string {
  if (value === undefined) return '';
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  return isList(value) ? value.join(' ') : JSON.stringify(value);
}

/** What a spreadsheet would take for a formula is given an apostrophe before it: callers chose some of the text. */
function quoteCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
