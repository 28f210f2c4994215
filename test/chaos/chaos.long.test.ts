import { afterAll, describe, expect, it } from 'vitest';
import { expectSurvived, formatReports } from './expect-chaos.ts';
import { type ChaosReport, runChaos } from './run-chaos.ts';
import { chaosCases, slowChaosCases } from './scenarios.ts';

const totalMs = 30_000;
const beforeMs = 5_000;
const attempts = 1_401;

const reports: ChaosReport[] = [];

afterAll(() => console.log(formatReports(reports)));

describe('while 50 payments a second run for 30 s', () => {
  it.each([...chaosCases, ...slowChaosCases])(
    'gives out no wrong ticket and recovers: $fault',
    async (chaos) => {
      const faultMs = chaos.fullFaultMs;
      const afterMs = totalMs - beforeMs - faultMs;
      const report = await runChaos(chaos, { beforeMs, faultMs, afterMs, attempts });
      reports.push(report);
      expectSurvived(report);
      expect(report.attempts.length).toBeGreaterThanOrEqual(attempts);
    },
  );
});
