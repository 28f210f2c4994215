import { parseArgs } from 'node:util';
// before all else of the simulation: it replaces what the modules of src take from Node
import './platform.ts';

// what is loaded already is there at once, which no schedule could tell otherwise
await import('node:sqlite');
const { playSchedules } = await import('./play.ts');
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});
process.exitCode = await playSchedules({
  schedules: Number(values.schedules),
  seed: Number(values.seed),
  only: values.only,
  prints: values.trace,
});
