import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { testSeed } from '../../support/random.ts';
import { simulate } from './simulate.ts';

/** LIVEPEER_HSM_SIGNER_SIMULATION_SCHEDULES makes it shorter. */
const schedules = Number(process.env['LIVEPEER_HSM_SIGNER_SIMULATION_SCHEDULES'] ?? '1000000');
const jobs = availableParallelism();
const dayMs = 86_400_000;

describe('the simulation of the whole', () => {
  it(
    `breaks no invariant in ${schedules} schedules`,
    async () => {
      const each = Math.ceil(schedules / jobs);
      const firstSeed = testSeed * 1_000_000;
      const started = performance.now();
      const runs = await Promise.all(
        Array.from({ length: jobs }, (_, job) =>
          simulate('--schedules', `${each}`, '--seed', `${firstSeed + job * each}`),
        ),
      );
      const seconds = (performance.now() - started) / 1000;
      for (const { output } of runs) console.log(output);
      console.log(`${Math.floor((each * jobs) / seconds)} schedules/s in ${jobs} processes`);
      for (const { code, output } of runs) {
        expect(output).toMatch(new RegExp(`^schedules: ${each}$`, 'm'));
        expect(code).toBe(0);
      }
    },
    dayMs,
  );
});
