import { createReadStream } from 'node:fs';
import { type ChainFile, countWholeLineBytes, listChainFiles, splitLines } from './files.ts';
import {
  type ChainHead,
  type ChainedRecord,
  decodeRecord,
  emptyChain,
  isTornRecord,
} from './record.ts';

/** What was found in an intact chain. */
export type VerifiedChain = {
  readonly files: number;
  readonly records: number;
  /** undefined in an empty chain */
  readonly first: ChainedRecord | undefined;
  readonly last: ChainedRecord | undefined;
  /** of a last line that is not whole: it is being written, or a crash cut it off */
  readonly tornBytes: number;
};

/** Where a chain is broken: its first record that does not follow the one before, or was changed. */
export class BrokenChainError extends Error {
  constructor(path: string, line: number, problem: string) {
    super(`${path} line ${line}: ${problem}`);
    this.name = 'BrokenChainError';
  }
}

/** Sees each record that has proved to follow the one before; `line` is its bytes without the line feed. */
export type RecordVisitor = (record: ChainedRecord, line: Buffer) => Promise<void> | undefined;

/**
 * Reads the chain in a folder from its first record to its last: each one's hash, number and link to the one before, over
 * all files. Where the first files were archived, the first record that is there is taken as it is. Files may be written
 * meanwhile. Throws {@link BrokenChainError}, and what the file system says.
 */
export async function verifyChain(
  folder: string,
  visit: RecordVisitor = () => undefined,
): Promise<VerifiedChain> {
  const files = await listChainFiles(folder);
  let head = files[0]?.number === 1 ? emptyChain : undefined;
  let first: ChainedRecord | undefined;
  let last: ChainedRecord | undefined;
  let records = 0;
  let tornBytes = 0;
  for (const [index, file] of files.entries()) {
    requireNext(file, files[index - 1]);
    let lineNumber = 0;
    for await (const { bytes, isWhole } of readLines(file.path)) {
      lineNumber += 1;
      if (!isWhole) {
        tornBytes = bytes.length;
        requireTorn(bytes, head, index === files.length - 1, file, lineNumber);
        break;
      }
      const record = decodeRecord(bytes);
      const problem = typeof record === 'string' ? record : findGap(record, head);
      if (typeof record === 'string' || problem !== undefined) {
        throw new BrokenChainError(file.path, lineNumber, problem ?? '');
      }
      await visit(record, bytes);
      head = record;
      first ??= record;
      last = record;
      records += 1;
    }
  }
  return { files: files.length, records, first, last, tornBytes };
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

function findGap({ seq, prev }: ChainedRecord, head: ChainHead | undefined): string | undefined {
  if (!head) return undefined;
  if (seq !== head.seq + 1) return `record ${seq} follows record ${head.seq}`;
  return prev === head.hash ? undefined : 'it does not carry the hash of the record before';
}

const readBytesAtOnce = 1_048_576;
/** No record is as long. */
const longestLine = 16_777_216;

type Line = { readonly bytes: Buffer; readonly isWhole: boolean };

/** The lines of a file as bytes; what follows the last line feed comes last and is not whole. */
async function* readLines(path: string): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0);
  const chunks = createReadStream(path, { highWaterMark: readBytesAtOnce });
  for await (const chunk of chunks as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (const line of splitLines(bytes)) yield { bytes: line, isWhole: true };
    rest = bytes.subarray(countWholeLineBytes(bytes));
    if (rest.length > longestLine) break;
  }
  if (rest.length > 0) yield { bytes: rest, isWhole: false };
}
