import { resolve } from 'node:path';
import type { ChainFolder } from '../audit/files.ts';
import type { ChainedRecord } from '../audit/record.ts';
import {
  BrokenChainError,
  type RecordVisitor,
  type VerifiedChain,
  verifyChain,
} from '../audit/verify-chain.ts';
import { noteVerified } from '../audit/verified-note.ts';
import { isUnreadable, reportFailure, requireChains } from './audit-chains.ts';
import { csvHeader, formatCsvRow } from './audit-format.ts';
import { type Row, printRows } from './print-rows.ts';
import { endWhenNobodyReads, print } from './terminal.ts';

/**
 * `audit verify`: verifies every record of every chain; exit code 1 where one is broken, or `includes` is in none of them. When
 * all are intact, that is noted in the folder, for the operator's page.
 */
export async function verifyAudit(folder: string, options: { includes?: string }): Promise<void> {
  const { includes } = options;
  const startedAt = new Date();
  let found: string | undefined;
  let areAllWhole = true;
  for (const chain of await requireChains(folder)) {
    const verified = await verifyOrReport(chain, ({ seq, hash }) => {
      if (hash === includes) found = `${chain.name} record ${seq}`;
      return undefined;
    });
    if (verified) printRows(describe(chain, verified));
    else areAllWhole = false;
  }
  // somebody who may only read the log can still verify it
  if (areAllWhole) await noteVerified(resolve(folder), startedAt).catch(() => undefined);
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

/** Verifies a chain; where it is broken, prints that to standard error and gives undefined. */
export async function verifyOrReport(
  { name, path }: ChainFolder,
  visit: RecordVisitor,
): Promise<VerifiedChain | undefined> {
  try {
    return await verifyChain(path, visit);
  } catch (error) {
    if (error instanceof BrokenChainError) {
      reportFailure(`chain ${name} is broken: ${error.message}`);
    } else if (isUnreadable(error)) {
      reportFailure(`chain ${name} can't be read: ${error.message}`);
    } else {
      throw error;
    }
    return undefined;
  }
}
