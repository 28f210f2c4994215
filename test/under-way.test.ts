import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { UnderWay } from '../src/under-way.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

function watch(underWay: UnderWay) {
  const state = { isOver: false };
  void underWay.end(1000).then(() => (state.isOver = true));
  return state;
}

it('is over at once where there is nothing', async () => {
  const state = watch(new UnderWay());
  await turn();
  expect(state.isOver).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

it('is over when all has settled, what fails and what came later included', async () => {
  const underWay = new UnderWay();
  const [first, second] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
  const given = underWay.add(first.promise);
  const state = watch(underWay);
  await turn();
  const failing = underWay.add(second.promise);
  first.resolve(1);
  expect(await given).toBe(1);
  await turn();
  expect(state.isOver).toBe(false);
  second.reject(new Error('failed'));
  await expect(failing).rejects.toThrow('failed');
  await turn();
  expect(state.isOver).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

it('is over after its time, whatever is left', async () => {
  const underWay = new UnderWay();
  void underWay.add(new Promise(() => undefined));
  const state = watch(underWay);
  await vi.advanceTimersByTimeAsync(999);
  expect(state.isOver).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(state.isOver).toBe(true);
});
