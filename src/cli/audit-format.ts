import type { AuditRecord, ChainedRecord } from '../audit/record.ts';
import { type Colour, type Painter, printable } from './terminal.ts';

type Field = AuditRecord[string];

const shownFirst: readonly string[] = ['seq', 'time', 'kind'];
const links: readonly string[] = ['prev', 'hash'];
const forPrograms: readonly string[] = ['digests', 'event'];

const colourOfKind: Readonly<Record<string, Colour>> = {
  signed: 'green',
  denied: 'yellow',
  failed: 'red',
  resume: 'red',
  'signing-paused': 'red',
  'signing-resumed': 'red',
};

/** Wide enough for most texts, so that what follows is aligned. */
const widths = { place: 14, kind: 9 };

/**
 * A record as a line for people: when, where, what, and its facts. With colours it is for a terminal: aligned, and without fields
 * that only programs can use.
 */
export function formatRecord(chain: string, record: ChainedRecord, paint?: Painter): string {
  const hidden = paint ? [...shownFirst, ...links, ...forPrograms] : [...shownFirst, ...links];
  const fields = Object.entries(record)
    .filter(([name]) => !hidden.includes(name))
    .flatMap(([name, value]) => describeField(name, value));
  const [time, place, kind] = [record.time, `${chain}#${record.seq}`, record.kind].map(printable);
  if (!paint)
    return [time, place, kind, ...fields.map(([name, text]) => `${name}=${text}`)].join(' ');
  const what = kind?.padEnd(widths.kind) ?? '';
  const colour = Object.hasOwn(colourOfKind, record.kind) ? colourOfKind[record.kind] : undefined;
  return [
    paint('dim', time ?? ''),
    place?.padEnd(widths.place),
    colour ? paint(colour, what) : what,
    ...fields.map(([name, text]) => `${paint('dim', `${name}=`)}${text}`),
  ].join(' ');
}

type ShownField = readonly [name: string, text: string];

function describeField(name: string, value: Field): ShownField[] {
  if (value === undefined || value === '') return [];
  if (typeof value !== 'object') {
    return [[printable(name), printable(String(value))]];
  }
  if (isList(value)) {
    return value.length === 0 ? [] : [[printable(name), value.map(printable).join(',')]];
  }
  return Object.entries(value).flatMap(([inner, text]: [string, Field]) =>
    describeField(`${name}.${inner}`, text),
  );
}

function isList(value: Field): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
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

/**
 * A record as a row of CSV (RFC 4180). Items of lists are separated by blanks; fields without a column are JSON in the last
 * column.
 */
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

/**
 * A cell of CSV. Text that a spreadsheet would read as a formula gets an apostrophe before it, and characters that would act on a
 * terminal are escaped: callers chose some of the text.
 */
export function quoteCell(text: string): string {
  const visible = text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${visible}` : visible;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
