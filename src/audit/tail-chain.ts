import { open } from 'node:fs/promises';
import {
  chainFile,
  countWholeLineBytes,
  listChainFiles,
  readBytes,
  readLastLines,
  splitLines,
} from './files.ts';

/** Follows the end of a chain while it is written. Lines are bytes without their line feeds, not verified. */
export type ChainTail = {
  /** The last `count` lines, or fewer. */
  last(count: number): Promise<Buffer[]>;
  /** The lines that were added since the last call of this or of `last`. */
  next(): AsyncGenerator<Buffer>;
};

const readBytesAtOnce = 1_048_576;

/** Starts before the first line of the chain in a folder. */
export function createChainTail(folder: string): ChainTail {
  let number = 1;
  let offset = 0;

  async function* readOn(): AsyncGenerator<Buffer> {
    const handle = await open(chainFile(folder, number).path, 'r');
    try {
      for (;;) {
        const bytes = await readBytes(handle, offset, readBytesAtOnce);
        const wholeBytes = countWholeLineBytes(bytes);
        if (wholeBytes === 0) return;
        offset += wholeBytes;
        yield* splitLines(bytes);
      }
    } finally {
      await handle.close();
    }
  }

  return {
    async last(count) {
      const lines: Buffer[] = [];
      for (const [index, file] of (await listChainFiles(folder)).reverse().entries()) {
        const handle = await open(file.path, 'r');
        const { size } = await handle.stat();
        const found = await readLastLines(handle, size, count - lines.length);
        await handle.close();
        if (index === 0) ({ number, offset } = { number: file.number, offset: found.end });
        lines.unshift(...found.lines);
        if (lines.length >= count) break;
      }
      return lines;
    },

    async *next() {
      // listed before they are read, so that a file that has a successor is known to be complete
      const numbers = (await listChainFiles(folder)).map((file) => file.number);
      for (const each of numbers) {
        if (each < number) continue;
        if (each > number) ({ number, offset } = { number: each, offset: 0 });
        yield* readOn();
      }
    },
  };
}
