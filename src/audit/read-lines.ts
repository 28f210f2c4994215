import { countWholeLineBytes, openPlainFile, splitLines } from './files.ts';

const readBytesAtOnce = 1_048_576;
/** No record is as long, in bytes. */
const longestLine = 16_777_216;

type Line = { readonly bytes: Buffer; readonly isWhole: boolean };

/** The lines of a file as bytes; what follows the last line feed comes last, marked as not whole. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0);
  await using handle = await openPlainFile(path, 'read');
  const chunks = handle.createReadStream({ highWaterMark: readBytesAtOnce, autoClose: false });
  for await (const chunk of chunks as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (const line of splitLines(bytes)) yield { bytes: line, isWhole: true };
    rest = bytes.subarray(countWholeLineBytes(bytes));
    if (rest.length > longestLine) break;
  }
  if (rest.length > 0) yield { bytes: rest, isWhole: false };
}
