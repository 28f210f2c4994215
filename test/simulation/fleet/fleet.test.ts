import { describe, expect, it } from 'vitest';
import { testSeed } from '../../support/random.ts';
import { simulate } from './simulate.ts';

const schedules = 10_000;
const longMs = 600_000;

describe('the simulation of the whole', () => {
  it(
    'breaks no invariant',
    async () => {
      const options = ['--schedules', `${schedules}`, '--seed', `${testSeed * 10_000}`];
      const { code, output } = await simulate(...options);
      expect(output).toMatch(new RegExp(`^schedules: ${schedules}$`, 'm'));
      expect(code).toBe(0);
      const countOf = (what: string): number =>
        Number(new RegExp(`^${what}: (\\d+)$`, 'm').exec(output)?.[1]);
      expect(countOf('answers')).toBeGreaterThan(schedules);
      expect(countOf('distinct states')).toBeGreaterThan(10 * schedules);
    },
    longMs,
  );

  it('plays the same seed the same way in another process, whatever was played before', async () => {
    const seed = ['--seed', '7'];
    const alone = await simulate('--schedules', '1', '--trace', ...seed);
    const among = await simulate('--schedules', '9', '--trace', '--seed', '3');
    const [fingerprint = 'none'] = /fingerprint \w+/.exec(alone.output) ?? [];
    expect(among.output).toContain(fingerprint);
  });
});
