import { setTimeout as delay } from 'node:timers/promises';
import { type ChainedRecord, decodeRecord } from '../audit/record.ts';
import { type ChainTail, createChainTail } from '../audit/tail-chain.ts';
import { readingChains, requireChains } from './audit-chains.ts';
import { formatRecord } from './audit-format.ts';
import { textOf, textsOf } from './recorded.ts';
import { type Painter, endWhenNobodyReads, painterFor, print, printable } from './terminal.ts';

export type TailFilters = {
  readonly tenant?: string;
  readonly principal?: string;
  readonly code?: string;
  readonly kind?: string;
  readonly session?: string;
  /** Unix milliseconds */
  readonly since?: number;
};

export type TailOptions = TailFilters & { readonly lines: number; readonly follow?: boolean };

const followIntervalMs = 250;

/** `audit tail`: the last records of all chains, for people; with `follow` also new ones, until it is stopped. */
export async function tailAudit(folder: string, options: TailOptions): Promise<void> {
  endWhenNobodyReads();
  const { lines, follow } = options;
  const isTerminal = process.stdout.isTTY;
  const paint = isTerminal ? painterFor(process.stdout) : undefined;
  const tails = new Map<string, Tail>();
  const tailOf = (name: string, path: string): Tail => {
    const tail = tails.get(name) ?? {
      chain: createChainTail(path),
      isWanted: createFilter(options),
    };
    tails.set(name, tail);
    return tail;
  };
  const found: Shown[] = [];
  for (const { name, path } of await requireChains(folder)) {
    const tail = tailOf(name, path);
    for (const each of await readingChains(() => readLast(tail, lines, options))) {
      found.push(show(name, each, paint));
    }
  }
  found.sort((a, b) => (a.time < b.time ? -1 : Number(a.time > b.time)));
  for (const { text } of found.slice(-lines)) await print(text);
  while (follow) {
    await delay(followIntervalMs);
    for (const { name, path } of await requireChains(folder)) {
      const { chain, isWanted } = tailOf(name, path);
      for await (const line of chain.next()) {
        const record = decodeRecord(line);
        if (isWanted(record)) await print(show(name, record, paint).text);
      }
    }
  }
}

type Tail = { readonly chain: ChainTail; readonly isWanted: Filter };

type Shown = { readonly time: string; readonly text: string };

/** The result of reading a line: a record, or the problem with it. */
type Decoded = ReturnType<typeof decodeRecord>;

/**
 * Reads the last records that match, from the end of the chain; where a filter chooses, it reads the whole chain a piece at a
 * time.
 */
async function readLast(tail: Tail, count: number, filters: TailFilters): Promise<Decoded[]> {
  const { chain, isWanted } = tail;
  if (!hasFilter(filters)) return (await chain.last(count)).map(decodeRecord);
  let wanted: Decoded[] = [];
  for await (const line of chain.next()) {
    const record = decodeRecord(line);
    if (!isWanted(record)) continue;
    wanted.push(record);
    if (wanted.length > 2 * count) wanted = wanted.slice(-count);
  }
  return wanted.slice(-count);
}

function hasFilter(filters: TailFilters): boolean {
  const { tenant, principal, code, kind, session, since } = filters;
  return [tenant, principal, code, kind, session, since].some((filter) => filter !== undefined);
}

type Filter = (record: Decoded) => boolean;

/** The most uses that wait for their outcome; those that a crash has left are forgotten at the next start. */
const mostUses = 100_000;

/**
 * Filters the records of a chain in their order. An outcome names only its use, so it matches where the use did. A broken record
 * always matches.
 */
function createFilter({ tenant, principal, code, kind, session, since }: TailFilters): Filter {
  const uses = new Map<string, ChainedRecord>();

  /** The subject of a record: its own fields, or those of the use that it ends. */
  function subjectOf(record: ChainedRecord): ChainedRecord {
    if (record.kind === 'start') uses.clear();
    const use = textOf(record, 'use');
    if (record.kind === 'key-use') {
      if (uses.size < mostUses) uses.set(use, record);
      return record;
    }
    const begun = uses.get(use);
    uses.delete(use);
    return begun ?? record;
  }

  return (record) => {
    if (typeof record === 'string') return true;
    const about = subjectOf(record);
    const holds = (wanted: string | undefined, actual: string): boolean =>
      wanted === undefined || wanted === actual;
    return (
      holds(tenant, textOf(about, 'tenant')) &&
      holds(principal, textOf(about, 'principal')) &&
      holds(session, textsOf(about, 'subject')['session'] ?? '') &&
      holds(code, textOf(record, 'code')) &&
      holds(kind, record.kind) &&
      (since === undefined || Date.parse(record.time) >= since)
    );
  };
}

/** Sorts after every time, so that a broken record is not dropped together with the oldest ones. */
const unknownTime = '~';

function show(chain: string, record: Decoded, paint: Painter | undefined): Shown {
  return typeof record === 'string'
    ? { time: unknownTime, text: `${printable(chain)}: a record is broken: ${record}` }
    : { time: record.time, text: formatRecord(chain, record, paint) };
}
