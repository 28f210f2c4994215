import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Edit, PlantedFault } from './catalogue.ts';

const repository = join(import.meta.dirname, '../../..');
/** All that the simulation is made of. */
const copied = ['package.json', 'src', 'test/simulation/fleet'];
const simulation = 'test/simulation/fleet/run.ts';
/** Further apart than any search has schedules. */
const schedulesBetweenSeeds = 10_000_000;

/** What became of one search. */
export type Finding =
  | { readonly kind: 'found'; readonly invariant: string; readonly schedules: number }
  | { readonly kind: 'missed'; readonly schedules: number }
  /** the simulation did not run */
  | { readonly kind: 'broken'; readonly output: string };

/** The text with the edit. Throws unless what it changes is there exactly once. */
export function applyEdit(text: string, { file, find, replace }: Edit): string {
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} has “${find}” ${count} times: mend the fault`);
  return text.replace(find, () => replace);
}

/**
 * Runs the simulation over copies of the sources with the fault, or without any: one search for each seed, of at most
 * `schedules` schedules.
 */
export async function searchFault(
  fault: Pick<PlantedFault, 'edits'>,
  seeds: readonly number[],
  schedules: number,
): Promise<Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-fault-'));
  try {
    for (const path of copied) {
      await cp(join(repository, path), join(folder, path), { recursive: true });
    }
    await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
    for (const edit of fault.edits) {
      const path = join(folder, edit.file);
      await writeFile(path, applyEdit(await readFile(path, 'utf8'), edit));
    }
    const findings: Finding[] = [];
    for (const seed of seeds) findings.push(await simulate(folder, seed, schedules));
    return findings;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function simulate(folder: string, seed: number, schedules: number): Promise<Finding> {
  const first = (seed * schedulesBetweenSeeds) % 2 ** 31;
  const args = [simulation, '--schedules', `${schedules}`, '--seed', `${first}`];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => lines.push(chunk.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    // what follows is the same schedule, made shorter
    if (/^after \d+ schedules/.test(line)) child.kill();
  }
  const code = await exited;
  const output = lines.join('\n');
  const [, invariant] = /^violation: (.*)$/m.exec(output) ?? [];
  const [, count] = /^after (\d+) schedules/m.exec(output) ?? [];
  if (invariant !== undefined && count !== undefined) {
    return { kind: 'found', invariant, schedules: Number(count) };
  }
  return code === 0 ? { kind: 'missed', schedules } : { kind: 'broken', output };
}
