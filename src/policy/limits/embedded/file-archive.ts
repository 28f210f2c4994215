import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RecordsError } from '../../../errors.ts';
import { LedgerFileError } from './ledger-file-error.ts';
import type { LedgerArchive } from '../ledger-archive.ts';
import { LedgerFile } from './ledger-file.ts';

/**
 * The embedded ledger in a folder, as an archive. The ledger is created where it is missing, but never by reading. All methods
 * throw `LEDGER_UNAVAILABLE`.
 */
export function openFileArchive(folder: string): LedgerArchive {
  const work = <Result>(action: (file: LedgerFile) => Result): Promise<Result> => {
    try {
      const file = new LedgerFile(folder);
      try {
        return Promise.resolve(action(file));
      } finally {
        file.close();
      }
    } catch (error) {
      if (!(error instanceof LedgerFileError)) throw error;
      const { message, details } = error;
      return Promise.reject(new RecordsError('LEDGER_UNAVAILABLE', message, { details }));
    }
  };
  return {
    read: () =>
      existsSync(join(folder, 'spend.sqlite'))
        ? work((file) => file.exportAll(Date.now()))
        : Promise.resolve([]),
    write: (records) => work((file) => file.importAll(records)),
    close: () => Promise.resolve(),
  };
}
