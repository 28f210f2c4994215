import { parseArgs } from 'node:util';
// before all else of the simulation: it replaces what the modules of src take from Node
import './platform.ts';

// what is loaded already is there at once, which no schedule could tell otherwise
await import('node:sqlite');
const { playSchedules } = await import('./play.ts');
// node test/simulation/fleet/run.ts [--schedules N] [--seed FIRST] [--states FILE]… [--only … --trace]
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    states: { type: 'string', multiple: true, default: [] },
    trace: { type: 'boolean', default: false },
  },
});
process.exitCode = await playSchedules({
  schedules: Number(values.schedules),
  seed: Number(values.seed),
  only: values.only,
  prints: values.trace,
  stateFiles: values.states,
});
