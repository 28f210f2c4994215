import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('run.ts', import.meta.url));

/** Runs the simulation in a process of its own: it replaces Node's clocks, files and threads. */
export function simulate(...options: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...options], (error, output, problems) => {
      resolve({ code: error ? 1 : 0, output: output + problems });
    });
  });
}
