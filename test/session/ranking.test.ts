import { expect, it } from 'vitest';
import { Ranking } from '../../src/session/ranking.ts';
import { createRandom } from '../support/random.ts';

it('names nobody before anybody has a number, and after all have given theirs back', () => {
  const ranking = new Ranking();
  expect(ranking.first).toBeUndefined();
  for (const number of [1, 2, 5]) {
    ranking.change('a', number);
    expect(ranking.first).toBe('a');
    ranking.change('a', -number);
    expect(ranking.first).toBeUndefined();
  }
});

it('names of those with the largest number the one that has had it for longest', () => {
  const random = createRandom('rankings');
  const ranking = new Ranking();
  const names = ['a', 'b', 'c', 'd'] as const;
  /** the numbers, those that were changed last at the end */
  const numbers = new Map<string, number>();
  for (let step = 0; step < 2_000; step += 1) {
    const name = random.pick(names);
    const before = numbers.get(name) ?? 0;
    const after = random.int(6);
    ranking.change(name, after - before);
    numbers.delete(name);
    if (after > 0) numbers.set(name, after);
    const largest = Math.max(...numbers.values());
    const [first] = [...numbers].find(([, number]) => number === largest) ?? [];
    expect(ranking.first).toBe(first);
  }
});
