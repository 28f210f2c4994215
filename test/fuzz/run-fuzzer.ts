import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import type { FuzzReport } from './decoders/fuzz.ts';

/** Runs `node test/fuzz/run.ts` in a process of its own, whose modules count what they do. Throws where it ends without its reports. */
export async function runFuzzer(...args: readonly string[]): Promise<readonly FuzzReport[]> {
  const program = fileURLToPath(new URL('run.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, ...args, '--json'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const [output, errors, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exited,
  ]);
  const reports = output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as FuzzReport);
  const isWhole = status === (reports.some(({ finds }) => finds.length > 0) ? 1 : 0);
  if (!isWhole || reports.length === 0)
    throw new Error(`the fuzzer ended with ${status}: ${errors}`);
  return reports;
}
