import { fingerprint, playPlan } from './fleet.ts';
import { type Plan, drawPlan, keepOf } from './plan.ts';
import { StateTable } from './state-table.ts';

export type RunOptions = {
  readonly schedules: number;
  /** of the first schedule; the next ones have the next seeds */
  readonly seed: number;
  /** `OPERATIONS/FAULTS`: of a single schedule, the places of what is to be played */
  readonly only: string | undefined;
  readonly prints: boolean;
  /** files with the states that other runs have visited, of which the first is written at the end */
  readonly stateFiles: readonly string[];
};

/** Progress is told each time that so many more have been played. */
const schedulesToTell = 10_000;

/** Plays schedules, prints what came of it and returns the exit code. */
export async function playSchedules({
  schedules,
  seed,
  only,
  prints,
  stateFiles,
}: RunOptions): Promise<number> {
  const states = new StateTable();
  for (const file of stateFiles) states.addFrom(file);
  const startedAt = process.hrtime.bigint();
  let events = 0;
  let answers = 0;
  for (let played = 0; played < schedules; played += 1) {
    const whole = drawPlan(seed + played);
    const plan = only === undefined ? whole : keepOf(whole, ...readOnly(only));
    const outcome = await playPlan(plan, states);
    events += outcome.events;
    answers += outcome.answers;
    if (prints) console.log([...outcome.trace, `fingerprint ${fingerprint(outcome)}`].join('\n'));
    if (!outcome.violation) {
      if (played % 64 === 63) await new Promise((resolve) => setImmediate(resolve));
      if ((played + 1) % schedulesToTell === 0 && played + 1 < schedules) {
        const rate = (played + 1) / secondsSince(startedAt);
        console.log(`${played + 1} schedules, ${Math.round(rate)}/s, ${states.count()} states`);
      }
      continue;
    }
    console.log(`violation: ${outcome.violation.invariant}`);
    console.log(outcome.violation.message);
    console.log(`seed ${plan.seed}`);
    console.log(`after ${played + 1} schedules`);
    if (only === undefined) await printShrunk(whole, outcome.violation.invariant);
    return 1;
  }
  const [stateFile] = stateFiles;
  if (stateFile !== undefined) states.writeTo(stateFile);
  console.log(`schedules: ${schedules}`);
  console.log(`schedules/s: ${Math.round(schedules / secondsSince(startedAt))}`);
  console.log(`distinct states: ${states.count()}`);
  console.log(`answers: ${answers}`);
  console.log(`events: ${events}`);
  return 0;
}

function secondsSince(startedAt: bigint): number {
  return Number(process.hrtime.bigint() - startedAt) / 1e9;
}

function readOnly(text: string): [operations: number[], faults: number[]] {
  const [operations = '', faults = ''] = text.split('/');
  const read = (list: string): number[] => list.split(',').filter(Boolean).map(Number);
  return [read(operations), read(faults)];
}

/** Leaves out what the violation does not need, until nothing more can be left out. */
async function printShrunk(plan: Plan, invariant: string): Promise<void> {
  let operations = plan.operations.map((_, place) => place);
  let faults = plan.faults.map((_, place) => place);
  const fails = async (ops: readonly number[], others: readonly number[]): Promise<boolean> => {
    const { violation } = await playPlan(keepOf(plan, ops, others), undefined);
    return violation?.invariant === invariant;
  };
  for (let hasShrunk = true; hasShrunk;) {
    hasShrunk = false;
    for (const left of faults) {
      const fewer = faults.filter((place) => place !== left);
      if (!(await fails(operations, fewer))) continue;
      faults = fewer;
      hasShrunk = true;
    }
    for (const left of operations) {
      const fewer = operations.filter((place) => place !== left);
      if (!(await fails(fewer, faults))) continue;
      operations = fewer;
      hasShrunk = true;
    }
  }
  const shrunk = keepOf(plan, operations, faults);
  const outcome = await playPlan(shrunk, undefined);
  const { operations: ops, faults: others, seed, ...setting } = shrunk;
  console.log(`shrunk to ${ops.length} operations and ${others.length} faults:`);
  console.log(JSON.stringify(setting));
  for (const each of [...ops, ...others]) console.log(`  ${JSON.stringify(each)}`);
  console.log(outcome.trace.join('\n'));
  console.log(
    `replay: node test/simulation/fleet/run.ts --seed ${seed} --schedules 1 --only ${operations.join()}/${faults.join()} --trace`,
  );
}
