import { expect } from 'vitest';
import { type Column, formatHeading, formatRow } from '../demo/table.ts';
import type { ChaosReport } from './run-chaos.ts';

/** The signer’s own deadline for a request, and what its way there and back may add; clients give up after the two. */
const deadlineMs = 4_500;
const slackMs = 500;
const longestRecoveryMs = 5_000;
/** Connections that a client of a cloud service may keep open; anything that grows with the payments is far above. */
const keptConnections = 100;

/** What must hold whatever the fault: no wrong ticket, no hang, retryable errors only, full recovery, nothing leaked. */
export function expectSurvived(report: ChaosReport): void {
  const { attempts, before, after } = report;
  expect(report.met, 'the fault was met').toBeGreaterThan(0);
  expect(report.isBack, 'calls go their usual way again').toBe(true);
  expect(report.faults).toEqual([]);
  expect(attempts.flatMap(({ failure }) => failure ?? [])).toEqual([]);
  const answers = new Set(attempts.map(({ status, retryAfter }) => `${status}, ${retryAfter}`));
  expect(['200, undefined', '503, 1']).toEqual(expect.arrayContaining([...answers]));
  expect(report.slowestMs).toBeLessThan(deadlineMs + slackMs);
  expect(report.recoveryMs).toBeLessThan(longestRecoveryMs);
  expect(report.exitCode).toBe(0);

  const messages = report.log.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages).not.toContain('defect');
  expect(messages.length, 'log lines, one for each payment and few more').toBeLessThan(
    attempts.length * 1.1 + 30,
  );
  expect(report.leakedSecrets).toEqual([]);
  expect(after.threads).toBeLessThanOrEqual(before.threads + 1);
  expect(after.descriptors).toBeLessThan(
    before.descriptors + keptConnections + report.clientConnections,
  );
}

const columns: readonly Column[] = [
  { heading: 'fault', width: 37, align: 'left' },
  { heading: 'met', width: 5, align: 'right' },
  { heading: 'payments', width: 8, align: 'right' },
  { heading: '200', width: 5, align: 'right' },
  { heading: '503', width: 5, align: 'right' },
  { heading: 'other', width: 5, align: 'right' },
  { heading: 'median ms', width: 9, align: 'right' },
  { heading: 'slowest ms', width: 10, align: 'right' },
  { heading: 'recovery ms', width: 11, align: 'right' },
  { heading: 'log lines', width: 9, align: 'right' },
  { heading: 'RSS MB', width: 10, align: 'right' },
];

/** The figures of all runs, for the output. */
export function formatReports(reports: readonly ChaosReport[]): string {
  return [formatHeading(columns), ...reports.map(formatReport)].join('\n');
}

function formatReport(report: ChaosReport): string {
  const { attempts, before, after } = report;
  const count = (wanted: number): number =>
    attempts.filter(({ status }) => status === wanted).length;
  const durations = attempts
    .map(({ sentAtMs, answeredAtMs }) => answeredAtMs - sentAtMs)
    .sort((a, b) => a - b);
  const figures = [
    report.met,
    attempts.length,
    count(200),
    count(503),
    attempts.length - count(200) - count(503),
    durations[Math.floor(durations.length / 2)] ?? 0,
    report.slowestMs,
    report.recoveryMs,
    report.log.length,
  ];
  return formatRow(columns, [
    report.fault,
    ...figures.map((figure) => figure.toFixed(0)),
    `${before.residentMb} > ${after.residentMb}`,
  ]);
}
