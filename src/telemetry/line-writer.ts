import { write, writeSync } from 'node:fs';

export type LineWriter = { write(line: string): void };

/** Of lines that wait; more are lost. A payment's line has some 1,200 characters. */
const mostCharacters = 4_194_304;
const retryMs = 100;
/** An exit waits so long for whoever reads too slowly. */
const exitPatienceMs = 1_000;

/**
 * Writes lines to an open file, in their order and whole, without waiting for it. While it takes none, as on a full disk, they wait, and
 * what there is no room for is lost: neither a payment nor the program's end waits for a line. `onLost` is told how many those were, once
 * lines are written again.
 */
export function createLineWriter(file: number, onLost: (lines: number) => void): LineWriter {
  let waiting = '';
  let begun = Buffer.alloc(0);
  let isUnderWay = false;
  let isRetrying = false;
  let isGone = false;
  let lost = 0;

  function writeOn(): void {
    isRetrying = false;
    if (begun.length === 0) {
      begun = Buffer.from(waiting);
      waiting = '';
    }
    if (begun.length === 0) return;
    isUnderWay = true;
    write(file, begun, (error, written) => {
      if (!error) took(written);
      isUnderWay = false;
      if (error) failed(error);
      else writeOn();
    });
  }

  function took(bytes: number): void {
    begun = begun.subarray(bytes);
    if (begun.length > 0 || waiting !== '' || lost === 0) return;
    const lines = lost;
    lost = 0;
    onLost(lines);
  }

  function failed(error: NodeJS.ErrnoException): void {
    if (hasNoReader(error)) {
      isGone = true;
      waiting = '';
      return;
    }
    isRetrying = true;
    setTimeout(writeOn, retryMs).unref();
  }

  process.on('exit', () => {
    if (isGone) return;
    const rest = Buffer.from(waiting);
    writeLast(file, isUnderWay ? rest : Buffer.concat([begun, rest]));
  });

  return {
    write(line) {
      if (isGone) return;
      if (waiting.length + line.length > mostCharacters) {
        lost += 1;
        return;
      }
      waiting += line;
      if (!isUnderWay && !isRetrying) writeOn();
    },
  };
}

/** Nobody will read any more. */
const hasNoReader = ({ code }: NodeJS.ErrnoException): boolean =>
  code === 'EPIPE' || code === 'EBADF';

/** As much as the file takes. */
function writeLast(file: number, bytes: Buffer): void {
  const endsAt = performance.now() + exitPatienceMs;
  for (let rest = bytes; rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(file, rest));
    } catch (error) {
      const isSlow = (error as NodeJS.ErrnoException).code === 'EAGAIN';
      if (!isSlow || performance.now() > endsAt) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}
