import { parseArgs } from 'node:util';
import { catalogue } from './catalogue.ts';
import { faultRow, isAsExpected, summary } from './report.ts';
import { searchFault } from './find-fault.ts';

// node test/simulation/faults/run.ts [names…] [--sample K] [--seeds N] [--schedules N] [--from SEED]
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    seeds: { type: 'string', default: '5' },
    schedules: { type: 'string', default: '40000' },
    from: { type: 'string', default: '1' },
  },
});
const named = catalogue.filter(
  ({ name }) => positionals.length === 0 || positionals.includes(name),
);
const step =
  values.sample === undefined ? 1 : Math.max(1, Math.floor(named.length / Number(values.sample)));
const chosen = named
  .filter((_, place) => place % step === 0)
  .slice(0, Number(values.sample ?? Infinity));
const seeds = Array.from(
  { length: Number(values.seeds) },
  (_, place) => Number(values.from) + place,
);

console.log('| fault | found by | median schedules | all |\n| --- | --- | --- | --- |');
const searched: Parameters<typeof summary>[0][number][] = [];
for (const fault of chosen) {
  const findings = await searchFault(fault, seeds, Number(values.schedules));
  searched.push({ fault, findings });
  console.log(faultRow(fault, findings));
  if (!isAsExpected(fault, findings)) process.exitCode = 1;
}
console.log(`\n${summary(searched)}`);
