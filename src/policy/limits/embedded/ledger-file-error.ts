/**
 * Why the ledger's file can't be used: the message names the file and what to do, and `details` holds the system's own message.
 */
export class LedgerFileError extends Error {
  readonly details: string;

  constructor(message: string, details = '') {
    super(message);
    this.name = 'LedgerFileError';
    this.details = details;
  }
}

/** Runs work on the file, and turns its errors into words for an operator. Throws `LedgerFileError`. */
export function guardFile<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof LedgerFileError) throw error;
    const details = error instanceof Error ? error.message : String(error);
    throw new LedgerFileError(`the spend ledger ${path} ${describe(error)}`, details);
  }
}

/** The error for a file whose content can't be trusted. */
export function damagedFile(path: string, details: string): LedgerFileError {
  return new LedgerFileError(`the spend ledger ${path} ${damaged}`, details);
}

const noRoom = 'finds no room on its disk: make room';
const notWritable = "can't be opened for writing: let the user of the signer write into its folder";
const damaged =
  'is damaged: stop the signer and put back a copy, or move the file away, and all windows begin empty';

/** https://sqlite.org/rescode.html, the lower eight bits */
const bySqliteCode: Readonly<Record<number, string>> = {
  3: notWritable,
  5: 'is held by another process: end whatever else has it open',
  8: notWritable,
  10: "can't be read or written: see to its disk, and to the room on it",
  11: damaged,
  13: noRoom,
  14: notWritable,
  26: damaged,
};

const bySystemCode: Readonly<Record<string, string>> = {
  ENOSPC: noRoom,
  EDQUOT: noRoom,
  EACCES: notWritable,
  EPERM: notWritable,
  EROFS: notWritable,
  ENOTDIR: notWritable,
  EEXIST: notWritable,
};

function describe(error: unknown): string {
  const { code = '', errcode = 0 } = error as { code?: string; errcode?: number };
  const remedy = code === 'ERR_SQLITE_ERROR' ? bySqliteCode[errcode & 0xff] : bySystemCode[code];
  return remedy ?? "can't be used";
}
