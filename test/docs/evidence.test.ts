import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { staleFigures } from '../support/evidence-reporter.ts';

const page = readFileSync(new URL('../../docs/evidence.md', import.meta.url), 'utf8');
const file = 'test/keys/domains.test.ts';
const [, count] = new RegExp(`\\| (\\d+) passed \\| \`npm test -- ${file}\``).exec(page) ?? [];
const said = Number(count);
const titles = (length: number): string[] => Array.from({ length }, (_, index) => `${index}`);

it('a count of the evidence page that its test file does not show is told', () => {
  const ran = { file, passed: titles(said + 1) };
  expect(staleFigures(page, [ran])).toEqual([{ file, said, passed: said + 1 }]);
});

it('a count that its test file shows is not told, nor one of a file that did not run', () => {
  expect(staleFigures(page, [{ file, passed: titles(said) }])).toEqual([]);
  expect(staleFigures(page, [])).toEqual([]);
});

it('each command of the evidence page that runs one test file has its count beside it', () => {
  const commands = [...page.matchAll(/`npm test -- (test\/[^ `]+\.test\.ts)`/g)];
  const files = commands.map(([, name = '']) => name);
  const told = staleFigures(
    page,
    files.map((name) => ({ file: name, passed: [] })),
  );
  // three mistakes of the catalogue are searched for there, which is no count of tests
  const uncounted = 'test/simulation/faults/faults.test.ts';
  expect(told.map((stale) => stale.file)).toEqual(files.filter((name) => name !== uncounted));
});
