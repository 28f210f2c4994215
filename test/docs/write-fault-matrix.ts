import { readFileSync, writeFileSync } from 'node:fs';
import { faults, namedTests, withMatrix } from './fault-matrix.ts';

// `npm run docs:matrix`, after a change of test/docs/fault-matrix.ts
const page = new URL('../../docs/fault-matrix.md', import.meta.url);
writeFileSync(page, withMatrix(readFileSync(page, 'utf8')));
const cells = Object.values(faults).flatMap((row) => Object.values(row));
const tested = cells.filter((cell) => typeof cell !== 'string').length;
const tests = new Set(namedTests.map((test) => test.join(' '))).size;
console.log(
  `${Object.keys(faults).length} faults, ${cells.length} cells: ${tested} with tests (${tests} different ones), ${cells.length - tested} with the reason why none`,
);
