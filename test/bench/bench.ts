// npm run bench [-- SCENARIO …] [--soak], or npm run bench -- peer URL[#PID] …: measures, prints a table and the figures, writes
// bench-results.json. The exit status is 1 when a figure misses its goal.
import { readFileSync, writeFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg } from 'node:os';
import { Folder } from '../cli/cli.ts';
import { events } from './events.ts';
import { coldStart } from './cold-start.ts';
import { firstRequest } from './first-request.ts';
import { growth } from './growth.ts';
import { guardrails } from './guardrails.ts';
import { keyCalls } from './key-calls.ts';
import { latency } from './latency.ts';
import { metrics } from './metrics.ts';
import { parts } from './parts.ts';
import { peer } from './peer.ts';
import { type Scenario, formatFigure, formatTable, meetsGoal } from './result.ts';
import { start } from './start.ts';
import { telemetry } from './telemetry.ts';
import { throughput } from './throughput.ts';
import { workers } from './workers.ts';

const scenarios: Readonly<Record<string, Scenario>> = {
  'key-calls': keyCalls,
  latency,
  throughput,
  guardrails,
  metrics,
  events,
  telemetry,
  parts,
  growth,
  workers,
  start,
  'first-request': firstRequest,
  'cold-start': coldStart,
};
const resultsFile = 'bench-results.json';
const exitMissed = 1;
const exitUsage = 2;

const given = process.argv.slice(2).filter((argument) => argument !== '--soak');
const [first, ...addresses] = given;
const isPeer = first === 'peer';
if (isPeer && addresses.length === 0) {
  console.error('peer needs the URL of another remote signer');
  process.exit(exitUsage);
}
const names = isPeer ? [] : given;
const unknown = names.filter((name) => !Object.hasOwn(scenarios, name));
if (unknown.length > 0) {
  console.error(
    `there is no scenario ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}`,
  );
  process.exit(exitUsage);
}

const results = readResults();
const chosen = isPeer
  ? [['peer', peer(addresses)] as const]
  : Object.entries(scenarios).filter(([name]) => names.length === 0 || names.includes(name));
const lines: string[] = [];
for (const [name, run] of chosen) {
  console.log(`\n${name}`);
  using folder = new Folder();
  const startedAt = new Date().toISOString();
  const { table, notes, figures } = await run({
    folder: folder.path,
    isSoak: process.argv.includes('--soak'),
    say: (line) => console.error(`  ${line}`),
  });
  console.log(formatTable(table));
  for (const note of notes) console.log(`note: ${note}`);
  results[name] = { startedAt, machine: describeMachine(), table, notes, figures };
  writeFileSync(resultsFile, `${JSON.stringify(results, null, 2)}\n`);
  if (!figures.every(meetsGoal)) process.exitCode = exitMissed;
  lines.push(...figures.map((figure) => `${name}: ${formatFigure(figure)}`));
}
console.log(`\n${lines.join('\n')}`);

function readResults(): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(resultsFile, 'utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function describeMachine() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? 'unknown',
    architecture: arch(),
    cores: availableParallelism(),
    loadAverage: loadavg()[0],
    node: process.version,
  };
}
