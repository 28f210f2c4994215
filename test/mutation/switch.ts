import { appendFileSync, readFileSync } from 'node:fs';

// Copied into the tree under test as src/mutation-switch.ts. What it is to do stands beside it, in a file rather than in the
// environment, so that a worker thread and a child process with an environment of its own do the same.
const [mode, value] = readFileSync(`${import.meta.dirname}/mutation-active`, 'utf8').split(' ');
const awake = mode === 'wake' ? Number(value) : -1;
const seen = mode === 'note' ? new Uint8Array(100_000) : undefined;

/** Whether the mutant of this id is awake; where the run is to find out which are reached, none is and each is noted. */
export function __mutant(id: number): boolean {
  if (seen !== undefined && value !== undefined && seen[id] === 0) {
    seen[id] = 1;
    appendFileSync(value, `${id}\n`);
  }
  return id === awake;
}
