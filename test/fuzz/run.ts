import { parseArgs } from 'node:util';
import { startCounting } from './decoders/coverage.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string' },
    /** writes the corpus that was found, minimised, into the repository */
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
if (positionals.length === 0) {
  throw new Error(
    'usage: node test/fuzz/run.ts TARGET…|all [--seconds N] [--inputs N] [--seed S] [--keep] [--json]',
  );
}
if (values.seed !== undefined) process.env['LIVEPEER_HSM_SIGNER_TEST_SEED'] = values.seed;

// before anything of the product is imported
startCounting();
const { openTargets } = await import('./decoders/targets.ts');
const { fuzz, writeCorpus } = await import('./decoders/fuzz.ts');
const { createRandom, howToRepeat } = await import('../support/random.ts');

const targets = await openTargets(positionals);
let found = 0;
for (const target of targets) {
  const { report, corpus } = await fuzz(target, {
    random: createRandom(`fuzz ${target.name}`),
    inputs: values.inputs === undefined ? Infinity : Number(values.inputs),
    seconds:
      values.seconds === undefined
        ? values.inputs === undefined
          ? 60
          : Infinity
        : Number(values.seconds),
  });
  if (values.keep) writeCorpus(target.name, corpus);
  found += report.finds.length;
  if (values.json) {
    console.log(JSON.stringify(report));
    continue;
  }
  const { blocks, blocksOf, inputs, seconds, features, workPerByte, heapMib } = report;
  console.log(
    `${report.target}: ${inputs} inputs in ${seconds.toFixed(1)} s (${Math.round(inputs / seconds)}/s), ` +
      `${blocks} of ${blocksOf} blocks (${Math.round((100 * blocks) / blocksOf)} %), ${features} features, ` +
      `at most ${workPerByte} blocks a byte, heap ${heapMib} MiB, finds: ${report.finds.length}`,
  );
  for (const { what, input } of report.finds) console.log(`  ${what}\n    base64 ${input}`);
}
for (const { close } of targets) await close?.();
if (found > 0) {
  if (!values.json) console.log(howToRepeat);
  process.exitCode = 1;
}
