import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const model = join(import.meta.dirname, 'payments.pml');
const maxOutputBytes = 64 * 1024 * 1024;

/** Values of the model's macros, such as `FAULTS`. */
export type Bounds = Readonly<Record<string, number>>;

export type Search = {
  readonly states: number;
  readonly transitions: number;
  /** what is violated; undefined when nothing is */
  readonly violation: string | undefined;
  /** the steps that lead there */
  readonly trail: readonly string[];
};

/** Visits all states of the model within the bounds, or those before the first violation. Needs spin and gcc. */
export async function search(bounds: Bounds, { optimize = 0 } = {}): Promise<Search> {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-model-'));
  try {
    await copyFile(model, join(folder, 'payments.pml'));
    const options = { cwd: folder, maxBuffer: maxOutputBytes };
    await run('spin', ['-a', ...define(bounds), 'payments.pml'], options);
    const flags = [`-O${optimize}`, '-w', '-DSAFETY', '-DCOLLAPSE'];
    await run('gcc', [...flags, '-o', 'checker', 'pan.c'], options);
    const { stdout } = await run('./checker', ['-m100000'], options);
    if (/max search depth too small|out of memory|Search not completed/i.test(stdout)) {
      if (!/^pan:\d+: /m.test(stdout)) throw new Error(`the search was not completed:\n${stdout}`);
    }
    const [, violation] = /^pan:\d+: (.*)$/m.exec(stdout) ?? [];
    const count = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1]);
    const trail = violation
      ? stepsOf((await run('spin', ['-t', ...define(bounds), 'payments.pml'], options)).stdout)
      : [];
    return {
      states: count(/^\s*(\d+) states, stored/m),
      transitions: count(/^\s*(\d+) transitions/m),
      violation,
      trail,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The steps of one run of the model, which the seed draws. */
export async function drawTrail(seed: number, bounds: Bounds): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-model-'));
  try {
    const options = { cwd: folder, maxBuffer: maxOutputBytes };
    return stepsOf(
      (await run('spin', [`-n${seed}`, '-T', '-DDRAWN', ...define(bounds), model], options)).stdout,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function define(bounds: Bounds): string[] {
  return Object.entries(bounds).map(([name, value]) => `-D${name}=${value}`);
}

function stepsOf(output: string): string[] {
  return output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('step '))
    .map((line) => line.slice('step '.length));
}
