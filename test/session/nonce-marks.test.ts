import { describe, expect, it } from 'vitest';
import type { NonceDemand } from '../../src/session/nonce-demand.ts';
import { NonceMarks } from '../../src/session/nonce-marks.ts';

const lifetimeMs = 600_000;
const startMs = 10_000_000;

function open(maxMarks = 1_000) {
  // a time since start that no mark lives as long as
  const clock = { nowMs: startMs };
  return { clock, marks: new NonceMarks({ nowMs: () => clock.nowMs, maxMarks }) };
}

function demand(number: number, changes: Partial<NonceDemand> = {}): NonceDemand {
  const ticketSession = number.toString(16).padStart(32, '0');
  return { ticketSession, count: 2, after: 0, limit: 500, lifetimeMs, holder: '', ...changes };
}

describe('nonces of a ticket session', () => {
  it('go on from those handed out, or from what the books know where that is more', () => {
    const { marks } = open();
    expect(marks.take(demand(1))).toEqual({ kind: 'taken', lastNonce: 0, isFirst: true });
    expect(marks.take(demand(1))).toEqual({ kind: 'taken', lastNonce: 2, isFirst: false });
    expect(marks.take(demand(1, { after: 9 }))).toMatchObject({ lastNonce: 9 });
    expect(marks.take(demand(1, { after: 3 }))).toMatchObject({ lastNonce: 11 });
    expect(marks.take(demand(2))).toMatchObject({ lastNonce: 0 });
  });

  it('are used up from the limit on', () => {
    const { marks } = open();
    expect(marks.take(demand(1, { after: 499 }))).toMatchObject({ kind: 'taken' });
    expect(marks.take(demand(1))).toEqual({ kind: 'used-up', lastNonce: 501 });
    expect(marks.take(demand(2, { after: 500 }))).toEqual({ kind: 'used-up', lastNonce: 500 });
  });

  it('are handed out again when they were not used, unless others follow them', () => {
    const { marks } = open();
    const first = marks.take(demand(1));
    const second = marks.take(demand(1));
    marks.giveBack(demand(1), first);
    expect(marks.last(demand(1).ticketSession)).toBe(4);
    marks.giveBack(demand(1), second);
    expect(marks.last(demand(1).ticketSession)).toBe(2);
    expect(marks.take(demand(1))).toMatchObject({ lastNonce: 2 });
  });

  it('stay used below those that a continued session gives back', () => {
    const { marks } = open();
    marks.take(demand(1));
    const continued = demand(1, { after: 2 });
    marks.giveBack(continued, marks.take(continued));
    expect(marks.take(demand(1))).toMatchObject({ lastNonce: 2, isFirst: false });
  });

  it('are remembered for the longest lifetime that was asked for', () => {
    const { clock, marks } = open();
    marks.take(demand(1));
    marks.take(demand(1, { lifetimeMs: 2 * lifetimeMs }));
    marks.take(demand(1));
    clock.nowMs += 2 * lifetimeMs - 1;
    expect(marks.last(demand(1).ticketSession)).toBe(6);
    clock.nowMs += 1;
    expect(marks.take(demand(1))).toMatchObject({ lastNonce: 0, isFirst: true });
  });
});

describe('room for nonces', () => {
  const fill = (marks: NonceMarks, holder: string, from: number, size: number): number =>
    Array.from({ length: size }, (_, index) => marks.take(demand(from + index, { holder }))).filter(
      ({ kind }) => kind === 'taken',
    ).length;

  it('is refused rather than taken from marks that live', () => {
    const { marks } = open(1_000);
    expect(fill(marks, 'greedy', 0, 5_000)).toBe(800);
    expect(marks.take(demand(9_999, { holder: 'greedy' }))).toEqual({ kind: 'no-room' });
    expect(marks.take(demand(0, { holder: 'greedy' }))).toMatchObject({ lastNonce: 2 });
  });

  it('is left for others by each holder', () => {
    const { marks } = open(1_000);
    fill(marks, 'greedy', 0, 5_000);
    expect(fill(marks, 'second', 10_000, 5_000)).toBe(160);
    expect(fill(marks, 'modest', 20_000, 12)).toBe(12);
  });

  it('comes back when marks have run out, also without a look at them', () => {
    const { clock, marks } = open(1_000);
    fill(marks, 'greedy', 0, 5_000);
    clock.nowMs += lifetimeMs;
    // a while until all have been seen
    expect(fill(marks, 'greedy', 10_000, 1_000)).toBeGreaterThan(700);
    expect(fill(marks, 'other', 20_000, 100)).toBeGreaterThan(90);
  });

  it('comes back whole to whoever gives all back', () => {
    // of nine, one more that it seemed to have would cost it the eighth
    const { marks } = open(9);
    marks.giveBack(demand(9), marks.take(demand(9)));
    const taken = Array.from({ length: 9 }, (_, index) => marks.take(demand(index)).kind);
    expect(taken).toEqual([...Array<string>(8).fill('taken'), 'no-room']);
  });

  it('comes back with nonces that were not used', () => {
    const { marks } = open(10);
    for (let number = 0; number < 100; number += 1) {
      const taken = marks.take(demand(number));
      expect(taken.kind).toBe('taken');
      marks.giveBack(demand(number), taken);
    }
  });

  it('is for 500,000 ticket sessions unless told, four fifths of them for one holder alone', () => {
    const marks = new NonceMarks({ nowMs: () => startMs });
    const any = demand(0);
    const take = (number: number) =>
      marks.take({ ...any, ticketSession: (16 ** 7 + number).toString(16) }).kind;
    let taken = 0;
    while (take(taken) === 'taken') taken += 1;
    expect(taken).toBe(400_000);
  });

  it('is not given back by nonces that were refused, nor by the same ones twice', () => {
    const { marks } = open(10);
    expect(fill(marks, 'greedy', 0, 100)).toBe(8);
    const refused = marks.take(demand(50, { holder: 'greedy' }));
    expect(refused).toEqual({ kind: 'no-room' });
    marks.giveBack(demand(0, { holder: 'greedy' }), refused);
    marks.giveBack(demand(0, { holder: 'greedy' }), { kind: 'used-up', lastNonce: 0 });
    expect(marks.take(demand(51, { holder: 'greedy' }))).toEqual({ kind: 'no-room' });
    const last = demand(7, { holder: 'greedy' });
    const taken = { kind: 'taken', lastNonce: 0, isFirst: true } as const;
    marks.giveBack(last, taken);
    marks.giveBack(last, taken);
    expect(marks.last(last.ticketSession)).toBe(0);
    expect(fill(marks, 'greedy', 60, 100)).toBe(1);
  });

  it('is counted in whole seconds, the last begun one as a whole', () => {
    const { clock, marks } = open();
    clock.nowMs = startMs + 999;
    marks.take(demand(1, { lifetimeMs: 1_001 }));
    clock.nowMs = startMs + 1_999;
    expect(marks.last(demand(1).ticketSession)).toBe(2);
    clock.nowMs = startMs + 2_000;
    expect(marks.last(demand(1).ticketSession)).toBe(0);
  });
});
