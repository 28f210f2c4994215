import { type ChainFile, chainFile, listChainFiles } from './files.ts';
import { readNotedEnd } from './noted-end.ts';
import { readLines } from './read-lines.ts';
import {
  type ChainHead,
  type ChainedRecord,
  decodeRecord,
  emptyChain,
  isTornRecord,
} from './record.ts';

/** The result for an intact chain. */
export type VerifiedChain = {
  readonly files: number;
  readonly records: number;
  /** undefined in an empty chain */
  readonly first: ChainedRecord | undefined;
  readonly last: ChainedRecord | undefined;
  /** bytes of a last line that is not whole: it is being written, or a crash cut it off */
  readonly tornBytes: number;
};

/** A chain is broken: tells its first record that does not follow the one before, or was changed. */
export class BrokenChainError extends Error {
  constructor(path: string, line: number, problem: string) {
    super(`${path} line ${line}: ${problem}`);
    this.name = 'BrokenChainError';
  }
}

/** Called with each record that was proved to follow the one before; `line` is its bytes without the line feed. */
export type RecordVisitor = (record: ChainedRecord, line: Buffer) => Promise<void> | undefined;

/**
 * Verifies the chain in a folder from its first record to its last: the hash, number and link of each record, over all files, and
 * that the chain reaches as far as its writer has noted. Where the first files were archived, the first record that is there is
 * accepted as it is. The files may be written meanwhile. Throws {@link BrokenChainError}, and the file system's own errors.
 */
export async function verifyChain(
  folder: string,
  visit: RecordVisitor = () => undefined,
): Promise<VerifiedChain> {
  // read before the files are, which only grow
  const noted = await readNotedEnd(folder);
  const files = await listChainFiles(folder);
  const head = files[0]?.number === 1 ? emptyChain : undefined;
  const chain = await verifyFiles(files, head, visit, noted);
  if (noted && (chain.last?.seq ?? 0) < noted.seq) {
    const { path } = files.at(-1) ?? chainFile(folder, noted.file);
    throw new BrokenChainError(
      path,
      chain.lines + 1,
      `the chain ends before record ${noted.seq}, which was written: its end was cut off, or files were taken away`,
    );
  }
  return chain;
}

/**
 * Like {@link verifyChain}, for some of the files, in their order. `head` is where the chain stands before them, and `noted` is a
 * record that is known to have been written; both as far as they are known.
 */
export async function verifyFiles(
  files: readonly ChainFile[],
  head: ChainHead | undefined,
  visit: RecordVisitor = () => undefined,
  noted?: ChainHead,
): Promise<VerifiedChain & { readonly lines: number }> {
  let first: ChainedRecord | undefined;
  let last: ChainedRecord | undefined;
  let records = 0;
  let tornBytes = 0;
  let lines = 0;
  for (const [index, file] of files.entries()) {
    requireNext(file, files[index - 1]);
    lines = 0;
    for await (const { bytes, isWhole } of readLines(file.path)) {
      lines += 1;
      if (!isWhole) {
        tornBytes = bytes.length;
        requireTorn(bytes, head, index === files.length - 1, file, lines);
        break;
      }
      const record = decodeRecord(bytes);
      const problem = typeof record === 'string' ? record : findGap(record, head, noted);
      if (typeof record === 'string' || problem !== undefined) {
        throw new BrokenChainError(file.path, lines, problem ?? '');
      }
      await visit(record, bytes);
      head = record;
      first ??= record;
      last = record;
      records += 1;
    }
  }
  return { files: files.length, records, first, last, tornBytes, lines };
}

function requireNext(file: ChainFile, before: ChainFile | undefined): void {
  if (!before || file.number === before.number + 1) return;
  throw new BrokenChainError(
    file.path,
    1,
    `the file before it, number ${file.number - 1}, is missing`,
  );
}

function requireTorn(
  bytes: Buffer,
  head: ChainHead | undefined,
  isLastFile: boolean,
  file: ChainFile,
  line: number,
): void {
  if (isLastFile && (!head || isTornRecord(bytes, head))) return;
  throw new BrokenChainError(file.path, line, 'this is no record');
}

function findGap(
  { seq, prev, hash }: ChainedRecord,
  head: ChainHead | undefined,
  noted: ChainHead | undefined,
): string | undefined {
  if (seq === noted?.seq && hash !== noted.hash) return 'this is not the record that was written';
  if (!head) return undefined;
  if (seq !== head.seq + 1) return `record ${seq} follows record ${head.seq}`;
  return prev === head.hash ? undefined : 'it does not carry the hash of the record before';
}
