/** Runs all cases, with so many sessions, against the lab at the given URL and prints their results as one line of JSON. */
import process from 'node:process';
import { cases } from './cases.ts';
import { runCases } from './expect.ts';
import { nodeCases } from './node-cases.ts';

const results = await runCases(
  [...cases, ...nodeCases],
  process.argv[2] ?? '',
  Number(process.argv[3]),
);
console.log(JSON.stringify(results));
process.exit(0);
