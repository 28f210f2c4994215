import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { staleFigures } from '../support/evidence-reporter.ts';

const page = readFileSync(new URL('../../docs/evidence.md', import.meta.url), 'utf8');
const file = 'test/keys/domains.test.ts';
const [, said] = new RegExp(`\\| (\\d+) passed \\| \`npm test -- ${file}\``).exec(page) ?? [];

it('a count of the evidence page that its test file does not show is told', () => {
  const passed = Number(said) + 1;
  expect(staleFigures(page, [{ file, passed }])).toEqual([{ file, said: Number(said), passed }]);
});

it('a count that its test file shows is not told, nor one of a file that did not run', () => {
  expect(staleFigures(page, [{ file, passed: Number(said) }])).toEqual([]);
  expect(staleFigures(page, [])).toEqual([]);
});

it('each command of the evidence page that runs one test file has its count beside it', () => {
  const commands = [...page.matchAll(/`npm test -- (test\/[^ `]+\.test\.ts)`/g)];
  const files = commands.map(([, name = '']) => name);
  const told = staleFigures(
    page,
    files.map((name) => ({ file: name, passed: -1 })),
  );
  // three mistakes of the catalogue are searched for there, which is no count of tests
  const uncounted = 'test/simulation/faults/faults.test.ts';
  expect(told.map((stale) => stale.file)).toEqual(files.filter((name) => name !== uncounted));
});
