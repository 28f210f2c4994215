import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RecordsError } from '../../../src/errors.ts';
import { failOpen } from '../../../src/policy/limits/fail-open.ts';
import type { ReserveOutcome, SpendLedger } from '../../../src/policy/limits/ledger.ts';
import { never, newWindow, oneTicket } from './ledger-cases.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A ledger that can be away, what it was asked, and what is logged of it. */
function open() {
  const asked: unknown[][] = [];
  const lines: unknown[] = [];
  const state: { failure: Error | undefined } = { failure: undefined };
  const outcome: ReserveOutcome = {
    kind: 'exceeded',
    ruleId: 'r',
    limit: 'ev',
    maximum: 1n,
    retryAfterMs: 1,
  };
  const away = <Result>(result: Result): Promise<Result> =>
    state.failure ? Promise.reject(state.failure) : Promise.resolve(result);
  const ledger: SpendLedger = {
    reserve: (...args) => (asked.push(args), away(outcome)),
    usage: () => away([oneTicket]),
    checkHealth: () => away(undefined),
    close: () => away(undefined),
  };
  const lenient = failOpen(ledger, (...line) => lines.push(line));
  return { lenient, asked, lines, state, outcome };
}

const lost = (details: string) =>
  new RecordsError('LEDGER_UNAVAILABLE', 'Redis is away', { details });
const line = (details: string) => [
  'warn',
  'payments go on without windows',
  { reason: 'Redis is away', details },
];

it('a ledger that can be reached is asked, and says, as it is', async () => {
  const { lenient, asked, lines, outcome } = open();
  const session = { id: 's', spentEv: 0n, limits: [] };
  const window = newWindow();
  expect(await lenient.reserve([window], oneTicket, never, session)).toBe(outcome);
  expect(asked).toEqual([[[window], oneTicket, never, session]]);
  expect(await lenient.usage([window])).toEqual([oneTicket]);
  await lenient.checkHealth();
  await lenient.close();
  expect(lines).toEqual([]);
});

it('a ledger that is away is told of at once, and then each five seconds', async () => {
  const { lenient, lines, state } = open();
  const reserve = async (details: string): Promise<void> => {
    state.failure = lost(details);
    expect(await lenient.reserve([newWindow()], oneTicket, never)).toMatchObject({
      kind: 'reserved',
      observed: [],
    });
  };
  await reserve('first');
  expect(lines).toEqual([line('first')]);
  vi.advanceTimersByTime(4_999);
  await reserve('too soon');
  vi.advanceTimersByTime(1);
  await reserve('second');
  await reserve('too soon');
  expect(lines).toEqual([line('first'), line('second')]);
  vi.advanceTimersByTime(4_999);
  await reserve('too soon');
  vi.advanceTimersByTime(1);
  await reserve('third');
  expect(lines).toEqual([line('first'), line('second'), line('third')]);
  for (const ask of [() => lenient.usage([]), () => lenient.checkHealth(), () => lenient.close()]) {
    await expect(ask()).rejects.toBe(state.failure);
  }
});
