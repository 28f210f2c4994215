import { text } from 'node:stream/consumers';
import { openArchive } from '../compose/ledger-archive.ts';
import { loadConfig } from '../config/load.ts';
import { readTextFile } from '../config/read-text-file.ts';
import {
  type LedgerRecord,
  formatLedger,
  importLedger,
  parseLedger,
} from '../policy/limits/ledger-archive.ts';
import { createLogger } from '../telemetry/logger.ts';

const logger = createLogger('warn');

/** `ledger export`: writes all that still counts to standard output. */
export async function exportSpending(options: { config: string }): Promise<void> {
  const archive = await openArchive(await loadConfig(options.config), logger);
  const records = await archive.read().finally(() => archive.close());
  process.stdout.write(formatLedger(records));
  process.stderr.write(`exported ${count(records)}\n`);
}

/** `ledger import FILE`: imports an export into the configured ledger; `-` is standard input. */
export async function importSpending(file: string, options: { config: string }): Promise<void> {
  const config = await loadConfig(options.config);
  const content =
    file === '-' ? await text(process.stdin) : readTextFile(file, 'exported spend ledger');
  const records = parseLedger(content);
  const archive = await openArchive(config, logger);
  const added = await importLedger(archive, records).finally(() => archive.close());
  process.stdout.write(`${count(records)}: ${added} imported, the others were there\n`);
}

function count(records: readonly LedgerRecord[]): string {
  const counters = records.filter(({ kind }) => kind === 'counter').length;
  const sessions = records.filter(({ kind }) => kind === 'session').length;
  return `${counters} windows and ${sessions} sessions`;
}
