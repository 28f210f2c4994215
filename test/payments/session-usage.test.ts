import { describe, expect, it } from 'vitest';
import { SessionUsage } from '../../src/payments/session-usage.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('session usage');

describe('session usage', () => {
  const hour = 3_600_000;

  it('counts each session once, for an hour after its last payment', () => {
    const usage = new SessionUsage(0);
    usage.record('aaaaaaaaaaaaaaaa', 0);
    usage.record('bbbbbbbbbbbbbbbb', 1000);
    usage.record('aaaaaaaaaaaaaaaa', 2000);
    expect(usage.sessionsInLastHour(2000)).toBe(2);
    expect(usage.sessionsInLastHour(hour + 1000)).toBe(1);
    expect(usage.sessionsInLastHour(hour + 2000)).toBe(0);
    expect(usage.lastSeenAtMs).toBe(2000);
  });

  it('tells sessions apart by the first twelve digits of their ids', () => {
    const usage = new SessionUsage(7);
    expect([usage.sinceMs, usage.lastSeenAtMs, usage.sessionsInLastHour(7)]).toEqual([
      7,
      undefined,
      0,
    ]);
    for (const id of ['aaaaaaaaaaaa0', 'aaaaaaaaaaaa1', 'baaaaaaaaaaa0', 'aaaaaaaaaaab0']) {
      usage.record(id, 1000);
    }
    expect(usage.sessionsInLastHour(1000)).toBe(3);
  });

  it.each([0, 2 ** 14 - 1])(
    'has 16 places for sessions of set %i, the oldest goes first',
    (set) => {
      const usage = new SessionUsage(0);
      const idOf = (session: number): string =>
        (session * 2 ** 14 + set).toString(16).padStart(12, '0');
      const pay = (session: number, nowMs: number) => usage.record(`${idOf(session)}0000`, nowMs);
      for (let session = 1; session <= 16; session += 1) pay(session, 100 - session);
      expect(usage.sessionsInLastHour(100)).toBe(16);
      pay(16, 200);
      pay(17, 201);
      expect(usage.sessionsInLastHour(201)).toBe(16);
      // it was that of session 15, seen at 85
      expect(usage.sessionsInLastHour(hour + 85)).toBe(16);
      expect(usage.sessionsInLastHour(hour + 86)).toBe(15);
      pay(15, 202);
      expect(usage.sessionsInLastHour(hour + 86)).toBe(16);
      expect(usage.sessionsInLastHour(hour + 200)).toBe(2);
    },
  );

  const randomSessions = (count: number) => Array.from({ length: count }, () => random.hex(16));

  it('counts 50,000 sessions to within one in a thousand', () => {
    const usage = new SessionUsage(0);
    const sessions = randomSessions(50_000);
    for (const session of [...sessions, ...sessions]) usage.record(session, 1000);
    const count = usage.sessionsInLastHour(1000);
    expect(count).toBeGreaterThanOrEqual(49_950);
    expect(count).toBeLessThanOrEqual(50_000);
  });

  it('counts no more sessions than it has room for, and forgets the oldest first', () => {
    const usage = new SessionUsage(0);
    for (const session of randomSessions(300_000)) usage.record(session, 1000);
    expect(usage.sessionsInLastHour(1000)).toBeGreaterThan(200_000);
    expect(usage.sessionsInLastHour(1000)).toBeLessThanOrEqual(262_144);
    for (const session of randomSessions(10_000)) usage.record(session, hour + 1000);
    expect(usage.sessionsInLastHour(hour + 1000)).toBeGreaterThan(9_990);
    expect(usage.sessionsInLastHour(hour + 1000)).toBeLessThanOrEqual(10_000);
  });
});
