import { afterAll, describe, expect, it } from 'vitest';
import { expectSurvived, formatReports } from './expect-chaos.ts';
import { type ChaosReport, runChaos } from './run-chaos.ts';
import { chaosCases } from './scenarios.ts';

const reports: ChaosReport[] = [];

afterAll(() => console.log(formatReports(reports)));

describe('while 50 payments a second run', () => {
  it.each(chaosCases)('gives out no wrong ticket and recovers: $fault', async (chaos) => {
    const attempts = 101;
    const report = await runChaos(chaos, { beforeMs: 500, faultMs: 1_200, afterMs: 500, attempts });
    reports.push(report);
    expectSurvived(report);
    expect(report.attempts.length).toBeGreaterThanOrEqual(attempts);
  });
});
