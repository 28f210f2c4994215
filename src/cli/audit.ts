import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidArgumentError } from 'commander';
import { ConfigError } from '../errors.ts';
import { type ChainFolder, listChains } from '../audit/files.ts';
import { type ChainedRecord, decodeRecord } from '../audit/record.ts';
import { type ChainTail, createChainTail } from '../audit/tail-chain.ts';
import {
  BrokenChainError,
  type RecordVisitor,
  type VerifiedChain,
  verifyChain,
} from '../audit/verify-chain.ts';
import { csvHeader, formatCsvRow, formatRecord } from './audit-format.ts';
import { type Row, printRows } from './print-rows.ts';

const exitFailure = 1;

/** `audit verify`: every record of every chain; exit code 1 where one is broken, or `includes` is in none of them. */
export async function verifyAudit(folder: string, options: { includes?: string }): Promise<void> {
  const { includes } = options;
  let found: string | undefined;
  for (const chain of await requireChains(folder)) {
    const verified = await verifyOrReport(chain, ({ seq, hash }) => {
      if (hash === includes) found = `${chain.name} record ${seq}`;
      return undefined;
    });
    if (verified) printRows(describe(chain, verified));
  }
  if (includes === undefined) return;
  if (found === undefined) reportFailure(`${includes} is not the hash of any record`);
  else printRows([['includes', found]]);
}

function describe(chain: ChainFolder, verified: VerifiedChain): Row[] {
  const { files, records, first, last, tornBytes } = verified;
  const identify = ({ seq, time, hash }: ChainedRecord): string => `${seq}  ${time}  ${hash}`;
  return [
    ['chain', `${chain.name}: intact`],
    ['records', `${records} in ${files} ${files === 1 ? 'file' : 'files'}`],
    ...(first ? [['first', identify(first)] as const] : []),
    ...(last ? [['last', identify(last)] as const] : []),
    ...(tornBytes > 0 ? [['note', describeTorn(tornBytes)] as const] : []),
  ];
}

function describeTorn(bytes: number): string {
  return `the last line (${bytes} bytes) is not whole: it is being written, or a crash cut it off; the next start removes it`;
}

type TailOptions = { readonly lines: number; readonly follow?: boolean };

const followIntervalMs = 250;

/** `audit tail`: the last records of all chains, for people; with `follow` also those that come, until it is stopped. */
export async function tailAudit(folder: string, { lines, follow }: TailOptions): Promise<void> {
  endWhenNobodyReads();
  const tails = new Map<string, ChainTail>();
  const found: { readonly time: string; readonly text: string }[] = [];
  for (const { name, path } of await requireChains(folder)) {
    const tail = createChainTail(path);
    tails.set(name, tail);
    for (const line of await tail.last(lines)) found.push(formatLine(name, line));
  }
  found.sort((a, b) => (a.time < b.time ? -1 : Number(a.time > b.time)));
  for (const { text } of found.slice(-lines)) await print(text);
  while (follow) {
    await delay(followIntervalMs);
    for (const { name, path } of await requireChains(folder)) {
      const tail = tails.get(name) ?? createChainTail(path);
      tails.set(name, tail);
      for (const line of await tail.next()) await print(formatLine(name, line).text);
    }
  }
}

/** After every time, so that a broken record is not cut away with the oldest ones. */
const unknownTime = '~';

function formatLine(chain: string, line: Buffer): { time: string; text: string } {
  const record = decodeRecord(line);
  return typeof record === 'string'
    ? { time: unknownTime, text: `${chain}: a record is broken: ${record}` }
    : { time: record.time, text: formatRecord(chain, record) };
}

type ExportOptions = {
  /** Unix milliseconds */
  readonly from?: number;
  readonly to?: number;
  readonly format: 'jsonl' | 'csv';
};

/** `audit export`: verified records, chain by chain; exit code 1 after the last one before a break. */
export async function exportAudit(folder: string, options: ExportOptions): Promise<void> {
  endWhenNobodyReads();
  const { from = -Infinity, to = Infinity, format } = options;
  const chains = await requireChains(folder);
  if (format === 'csv') await print(csvHeader);
  for (const chain of chains) {
    await verifyOrReport(chain, (record, line) => {
      const time = Date.parse(record.time);
      if (time < from || time >= to) return undefined;
      return print(format === 'csv' ? formatCsvRow(chain.name, record) : line.toString());
    });
  }
}

/** Says on standard error what is broken; undefined then. */
async function verifyOrReport(
  { name, path }: ChainFolder,
  visit: RecordVisitor,
): Promise<VerifiedChain | undefined> {
  try {
    return await verifyChain(path, visit);
  } catch (error) {
    if (error instanceof BrokenChainError) {
      reportFailure(`chain ${name} is broken: ${error.message}`);
    } else if (error instanceof Error && 'syscall' in error) {
      reportFailure(`chain ${name} can't be read: ${error.message}`);
    } else {
      throw error;
    }
    return undefined;
  }
}

function reportFailure(message: string): void {
  process.stderr.write(`livepeer-hsm-signer: ${message}\n`);
  process.exitCode = exitFailure;
}

async function requireChains(folder: string): Promise<ChainFolder[]> {
  const path = resolve(folder);
  const chains = await listChains(path).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new ConfigError('CONFIG_INVALID', `${path} can't be read: ${reason}`, { cause });
  });
  if (chains.length > 0) return chains;
  throw new ConfigError(
    'CONFIG_INVALID',
    `there is no audit log in ${path}; give the folder of audit.path, or one of the folders in it`,
  );
}

/** As `| head` does. */
function endWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

/** The hash of a record. Throws commander's InvalidArgumentError. */
export function parseHash(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Expected a hash of 64 hex digits.');
}

/** How many lines. Throws commander's InvalidArgumentError. */
export function parseLines(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a number, 1 to 999999.');
}

/** A time as Unix milliseconds. Throws commander's InvalidArgumentError. */
export function parseTime(text: string): number {
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(
    text,
  );
  const time = isTime ? Date.parse(text) : NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError('Expected a time such as 2026-11-20 or 2026-11-20T16:00:00Z.');
}
