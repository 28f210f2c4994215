import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { runFuzzer } from './run-fuzzer.ts';

const corpora = readdirSync(new URL('corpus', import.meta.url)).map((name) =>
  name.replace(/\.txt$/, ''),
);

const reports = await runFuzzer('all', 'planted', '--inputs', '400');
const findsOf = (isChosen: (target: string) => boolean) =>
  reports.filter(({ target }) => isChosen(target)).flatMap(({ finds }) => finds);

it('finds nothing wrong in what decoders make of their corpora and of inputs near them', () => {
  console.table(
    reports.map(({ target, inputs, blocks, blocksOf, workPerByte }) => ({
      ...{ target, inputs, blocks, blocksOf, workPerByte },
    })),
  );
  expect(findsOf((target) => target !== 'planted')).toEqual([]);
  expect(reports.map(({ target }) => target).sort()).toEqual([...corpora, 'planted'].sort());
});

it('reports a fault that it comes upon, with an input that shows it', () => {
  const [find, ...others] = findsOf((target) => target === 'planted');
  expect(others).toEqual([]);
  expect(find?.what).toBe('planted');
  expect(Buffer.from(find?.input ?? '', 'base64').toString()).toMatch(/\[.*\{.*:/s);
});
