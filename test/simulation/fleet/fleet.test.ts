import { describe, expect, it } from 'vitest';
import { testSeed } from '../../support/random.ts';
import { simulate } from './simulate.ts';

describe('the simulation of the whole', () => {
  it('breaks no invariant', async () => {
    const { code, output } = await simulate('--schedules', '500', '--seed', `${testSeed * 1000}`);
    expect(output).toMatch(/^schedules: 500$/m);
    expect(code).toBe(0);
    expect(Number(/^answers: (\d+)$/m.exec(output)?.[1])).toBeGreaterThan(500);
    expect(Number(/^distinct states: (\d+)$/m.exec(output)?.[1])).toBeGreaterThan(5000);
  });

  it('plays the same seed the same way in another process, whatever was played before', async () => {
    const seed = ['--seed', '7'];
    const alone = await simulate('--schedules', '1', '--trace', ...seed);
    const among = await simulate('--schedules', '9', '--trace', '--seed', '3');
    const [fingerprint = 'none'] = /fingerprint \w+/.exec(alone.output) ?? [];
    expect(among.output).toContain(fingerprint);
  });
});
