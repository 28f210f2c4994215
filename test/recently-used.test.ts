import { describe, expect, it } from 'vitest';
import { RecentlyUsed } from '../src/recently-used.ts';

describe('RecentlyUsed', () => {
  it('never holds more than it may, however many are put in', () => {
    const entries = new RecentlyUsed<number, { n: number }>(1000);
    for (let n = 0; n < 5000; n++) {
      entries.set(n, { n });
      expect(entries.size).toBe(Math.min(n + 1, 1000));
    }
    expect(entries.get(3999)).toBeUndefined();
    expect(entries.get(4000)).toEqual({ n: 4000 });
    expect(entries.get(4999)).toEqual({ n: 4999 });
  });

  it('drops the one that was not asked for the longest', () => {
    const entries = new RecentlyUsed<string, object>(2);
    const [a, b] = [{}, {}];
    entries.set('a', a);
    entries.set('b', b);
    expect(entries.get('a')).toBe(a);
    entries.set('c', {});
    expect(entries.get('b')).toBeUndefined();
    expect(entries.get('a')).toBe(a);
  });

  it('replaces an entry without counting it twice', () => {
    const entries = new RecentlyUsed<string, object>(2);
    const newer = {};
    entries.set('a', {});
    entries.set('b', {});
    entries.set('a', newer);
    expect(entries.size).toBe(2);
    expect(entries.get('a')).toBe(newer);
    expect(entries.get('b')).toBeDefined();
  });
});
