import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  ReserveOutcome,
  Spend,
  SpendLedger,
  WindowCharge,
} from '../../../src/policy/limits/ledger.ts';
import { spendKinds } from '../../../src/policy/limits/windows.ts';
import { fc } from '../../support/fast-check.ts';

/** A ledger to try out, whose clock the cases set. */
export type LedgerUnderTest = AsyncDisposable & {
  readonly ledger: SpendLedger;
  /** the same counts by another connection or thread */
  readonly other: SpendLedger;
};

/** What the ledger takes for the time. */
export type Clock = { timeMs: number };

export const hourMs = 3_600_000;
export const never = new AbortController().signal;

let rules = 0;

/** A window of a rule that no other case counts in. */
export function newWindow(charge: Partial<WindowCharge> = {}): WindowCharge {
  rules += 1;
  return {
    ruleId: `rule-${rules}`,
    scope: '',
    windowMs: hourMs,
    limits: {},
    isEnforced: true,
    ...charge,
  };
}

export function spend(amounts: Partial<Spend>): Spend {
  return { ev: 0n, tickets: 0n, sessions: 0n, ...amounts };
}

export const oneTicket = spend({ tickets: 1n });

export function requireReserved(outcome: ReserveOutcome) {
  if (outcome.kind !== 'reserved') throw new Error(`refused by ${outcome.ruleId}`);
  return outcome;
}

/** Asks for one ticket at a time, `clients` at once, until each has been refused; how many were granted. */
export async function spendAll(
  ledger: SpendLedger,
  charges: readonly WindowCharge[],
  clients: number,
): Promise<number> {
  const spendUntilRefused = async (): Promise<number> => {
    for (let granted = 0; ; granted += 1) {
      const { kind } = await ledger.reserve(charges, oneTicket, never);
      if (kind === 'exceeded') return granted;
    }
  };
  const all = await Promise.all(Array.from({ length: clients }, spendUntilRefused));
  return all.reduce((sum, granted) => sum + granted, 0);
}

type Step = { afterMs: number; ev: bigint; tickets: bigint; isReleased: boolean };
type Event = { atMs: number; spent: Spend };

const windowMs = 60_000;
const limits = { ev: 10n ** 20n, tickets: 40n };

const step: fc.Arbitrary<Step> = fc.record({
  afterMs: fc.oneof(
    fc.integer({ min: 0, max: 3_000 }),
    fc.integer({ min: 0, max: windowMs + 2_000 }),
    // at and around the edges of slots and windows
    fc.constantFrom(
      999,
      1_000,
      1_001,
      windowMs - 1,
      windowMs,
      windowMs + 999,
      windowMs + 1_000,
      3 * windowMs,
    ),
  ),
  ev: fc.bigInt({ min: 0n, max: limits.ev / 3n }),
  tickets: fc.bigInt({ min: 0n, max: 10n }),
  isReleased: fc.boolean(),
});

function sumOf(events: readonly Event[]): Spend {
  return events.reduce(
    (sum, { spent }) => spend({ ev: sum.ev + spent.ev, tickets: sum.tickets + spent.tickets }),
    spend({}),
  );
}

/** When so many of the events, the oldest first, have run out that the rest leaves room. */
function roomAfterMs(events: readonly Event[], wanted: Spend, nowMs: number): number {
  const slotOf = ({ atMs }: Event): number => Math.floor(atMs / 1_000);
  const counting = events.filter((event) => slotOf(event) >= Math.floor(nowMs / 1_000) - 60);
  const gone = counting.map(slotOf).find((slot) => {
    const left = sumOf(counting.filter((event) => slotOf(event) > slot));
    const isRoom = (kind: 'ev' | 'tickets'): boolean =>
      wanted[kind] === 0n || left[kind] + wanted[kind] <= limits[kind];
    return isRoom('ev') && isRoom('tickets');
  });
  return ((gone ?? 0) + 61) * 1_000 - nowMs;
}

const base = 10n ** 15n;
/** Where the two numbers of an amount in Redis, in base 10^15, are 0 or full; and around what doubles and SQLite's integers hold. */
const edges = [
  1n,
  2n,
  base - 1n,
  base,
  base + 1n,
  2n * base - 1n,
  2n * base,
  2n ** 53n,
  2n ** 63n,
  base ** 2n - 1n,
  base ** 2n,
  base ** 2n + 1n,
];
const pairsOfEdges = edges.flatMap((first) => edges.map((second) => [first, second] as const));

/** What every ledger must do; `open` starts one that nothing is counted in. */
export function describeLedger(
  name: string,
  open: (clock: Clock) => Promise<LedgerUnderTest>,
): void {
  describe(`${name}, as any ledger`, () => {
    const clock: Clock = { timeMs: Date.UTC(2026, 0, 1) };
    let tested: LedgerUnderTest;
    beforeAll(async () => {
      tested = await open(clock);
    });
    afterAll(() => tested[Symbol.asyncDispose]());

    it('refuses what a window has no room for, and names rule, limit and maximum', async () => {
      const window = newWindow({ limits: { ev: 100n, tickets: 3n } });
      const { ledger } = tested;
      requireReserved(await ledger.reserve([window], spend({ ev: 60n, tickets: 1n }), never));
      const tooMuch = await ledger.reserve([window], spend({ ev: 41n, tickets: 1n }), never);
      expect(tooMuch).toEqual({
        kind: 'exceeded',
        ruleId: window.ruleId,
        limit: 'ev',
        maximum: 100n,
        retryAfterMs: expect.any(Number) as number,
      });
      requireReserved(await ledger.reserve([window], spend({ ev: 40n, tickets: 2n }), never));
      const another = await ledger.reserve([window], oneTicket, never);
      expect(another).toMatchObject({ kind: 'exceeded', limit: 'tickets', maximum: 3n });
    });

    it('counts a payment in all of its windows or in none', async () => {
      const windows = [newWindow(), newWindow({ limits: { tickets: 1n } }), newWindow()];
      const { ledger } = tested;
      requireReserved(await ledger.reserve(windows, oneTicket, never));
      expect(await ledger.reserve(windows, oneTicket, never)).toMatchObject({
        kind: 'exceeded',
        ruleId: windows[1]?.ruleId,
      });
      expect(await ledger.usage(windows)).toEqual([oneTicket, oneTicket, oneTicket]);
    });

    it('counts in observed windows, reports those whose limit is passed, and does not refuse', async () => {
      const observed = newWindow({ limits: { ev: 5n }, isEnforced: false });
      const roomy = newWindow({ limits: { ev: 100n } });
      const { ledger } = tested;
      const first = await ledger.reserve([observed, roomy], spend({ ev: 5n }), never);
      expect(requireReserved(first).observed).toEqual([]);
      const second = await ledger.reserve([observed, roomy], spend({ ev: 5n }), never);
      expect(requireReserved(second).observed).toEqual([observed.ruleId]);
      expect(await ledger.usage([observed])).toEqual([spend({ ev: 10n })]);
    });

    it('does not limit what a payment has none of', async () => {
      const window = newWindow({ limits: { sessions: 1n } });
      const { ledger } = tested;
      requireReserved(await ledger.reserve([window], spend({ sessions: 1n }), never));
      requireReserved(
        await ledger.reserve([{ ...window, limits: { sessions: 0n } }], oneTicket, never),
      );
      const another = await ledger.reserve([window], spend({ sessions: 1n }), never);
      expect(another).toMatchObject({ kind: 'exceeded', limit: 'sessions' });
    });

    it('keeps counts when limits change, and apart by rule, scope and length of the window', async () => {
      const window = newWindow({ scope: 'tenant=acme', limits: { tickets: 1n } });
      const { ledger } = tested;
      requireReserved(await ledger.reserve([window], oneTicket, never));
      const raised = { ...window, limits: { tickets: 2n } };
      requireReserved(await ledger.reserve([raised], oneTicket, never));
      expect((await ledger.reserve([raised], oneTicket, never)).kind).toBe('exceeded');
      for (const elsewhere of [
        { ...window, scope: 'tenant=other' },
        { ...window, windowMs: 2 * hourMs },
        newWindow({ scope: 'tenant=acme', limits: { tickets: 1n } }),
      ]) {
        expect((await ledger.reserve([elsewhere], oneTicket, never)).kind).toBe('reserved');
      }
    });

    it.each([
      ['2^53', 2n ** 53n],
      ['2^63', 2n ** 63n],
      ['2^64', 2n ** 64n],
      ['10^15', 10n ** 15n],
      ['1,000,000,000 ether', 10n ** 27n],
    ])('is exact to the wei around %s', async (_, amount) => {
      const window = newWindow({ limits: { ev: 3n * amount + 1n } });
      const { ledger } = tested;
      for (const ev of [amount + 1n, amount - 1n, amount]) {
        requireReserved(await ledger.reserve([window], spend({ ev }), never));
      }
      const twoWei = await ledger.reserve([window], spend({ ev: 2n }), never);
      expect(twoWei).toMatchObject({ kind: 'exceeded', maximum: 3n * amount + 1n });
      const last = requireReserved(await ledger.reserve([window], spend({ ev: 1n }), never));
      expect(await ledger.usage([window])).toEqual([spend({ ev: 3n * amount + 1n })]);
      await last.release();
      expect(await ledger.usage([window])).toEqual([spend({ ev: 3n * amount })]);
    });

    it.each(spendKinds)('is exact to the unit at all edges of its numbers, of %s', async (kind) => {
      const { ledger } = tested;
      const trial = async (before: bigint, amount: bigint): Promise<void> => {
        const tooLittle = { [kind]: before + amount - 1n };
        const enough = { [kind]: before + amount };
        const window = newWindow({ limits: tooLittle });
        const passed = newWindow({ limits: tooLittle, isEnforced: false });
        const reached = newWindow({ limits: enough, isEnforced: false });
        const raised = { ...window, limits: enough };
        const reserve = (windows: readonly WindowCharge[], wanted: bigint) =>
          ledger.reserve(windows, spend({ [kind]: wanted }), never);
        const first = await reserve([passed, window, reached], before);
        expect(requireReserved(first).observed).toEqual([]);
        expect(await reserve([passed, window, reached], amount)).toMatchObject({
          kind: 'exceeded',
          ruleId: window.ruleId,
          limit: kind,
          maximum: before + amount - 1n,
        });
        const second = requireReserved(await reserve([passed, raised, reached], amount));
        expect(second.observed).toEqual([passed.ruleId]);
        const whole = spend({ [kind]: before + amount });
        expect(await ledger.usage([window, passed, reached])).toEqual([whole, whole, whole]);
        const unused = before < amount ? before : amount;
        await second.release(spend({ [kind]: unused }));
        expect(await ledger.usage([window])).toEqual([spend({ [kind]: before + amount - unused })]);
      };
      await Promise.all(pairsOfEdges.map((pair) => trial(...pair)));
    });

    it('frees what has run out, and tells when, at all edges of its numbers', async () => {
      const { ledger } = tested;
      clock.timeMs = Math.ceil(clock.timeMs / hourMs) * hourMs;
      const trials = pairsOfEdges.map(([early, late]) => ({ early, late, window: newWindow() }));
      const amounts = (early: bigint, late: bigint): Spend => ({
        ev: early,
        tickets: late,
        sessions: early,
      });
      const forAll = (work: (trial: (typeof trials)[number]) => Promise<void>) =>
        Promise.all(trials.map(work));
      await forAll(async ({ early, late, window }) => {
        requireReserved(await ledger.reserve([window], amounts(early, late), never));
      });
      clock.timeMs += hourMs / 60;
      await forAll(async ({ early, late, window }) => {
        requireReserved(await ledger.reserve([window], amounts(late, early), never));
      });
      await forAll(async ({ early, late, window }) => {
        const ask = (ev: bigint) =>
          ledger.reserve([{ ...window, limits: { ev } }], spend({ ev: early }), never);
        // there is room when the first slot has run out, or only when the second one has too
        expect(await ask(late + early)).toMatchObject({ retryAfterMs: hourMs });
        expect(await ask(late + early - 1n)).toMatchObject({ retryAfterMs: hourMs + hourMs / 60 });
      });
      clock.timeMs += hourMs;
      await forAll(async ({ early, late, window }) => {
        expect(await ledger.usage([window])).toEqual([amounts(late, early)]);
      });
    });

    it('is exact to the wei at all edges of what a session has spent', async () => {
      const { ledger } = tested;
      const trial = async (known: bigint, told: bigint): Promise<void> => {
        const id = newWindow().ruleId;
        const larger = known > told ? known : told;
        const pay = (ev: bigint, spentEv: bigint, maximum: bigint, isEnforced = true) => {
          const limits = [{ ruleId: 'few', maximum, isEnforced }];
          return ledger.reserve([], spend({ ev }), never, { id, spentEv, limits });
        };
        requireReserved(await pay(known, 0n, known));
        const exceeded = { kind: 'session-exceeded', ruleId: 'few', spent: larger };
        expect(await pay(1n, told, larger)).toMatchObject({ ...exceeded, maximum: larger });
        expect(await pay(known, told, larger + known - 1n)).toMatchObject(exceeded);
        const last = requireReserved(await pay(known, told, larger + known));
        expect(last.observed).toEqual([]);
        expect(await pay(0n, 0n, 0n)).toMatchObject({ spent: larger + known });
        await last.release();
        expect(await pay(0n, 0n, 0n)).toMatchObject({ spent: larger });
        const watched = requireReserved(await pay(told, 0n, larger + told - 1n, false));
        expect(watched.observed).toEqual(['few']);
        await watched.release(spend({ ev: 1n }));
        expect(await pay(0n, 0n, 0n)).toMatchObject({ spent: larger + told - 1n });
      };
      await Promise.all(pairsOfEdges.map((pair) => trial(...pair)));
    });

    it('gives a released reservation back once, from all windows', async () => {
      const windows = [newWindow({ limits: { tickets: 2n } }), newWindow({ windowMs: 60_000 })];
      const { ledger } = tested;
      const first = requireReserved(await ledger.reserve(windows, oneTicket, never));
      requireReserved(await ledger.reserve(windows, oneTicket, never));
      await Promise.all([first.release(), first.release()]);
      await first.release();
      expect(await ledger.usage(windows)).toEqual([oneTicket, oneTicket]);
    });

    it('gives back the part of a reservation that was not used, once', async () => {
      const windows = [newWindow(), newWindow({ windowMs: 60_000 })];
      const { ledger } = tested;
      const whole = spend({ tickets: 5n, ev: 10n ** 17n + 1n, sessions: 1n });
      const reservation = requireReserved(await ledger.reserve(windows, whole, never));
      await reservation.release(spend({ tickets: 3n, ev: 6n * 10n ** 16n }));
      await reservation.release();
      const used = spend({ tickets: 2n, ev: 4n * 10n ** 16n + 1n, sessions: 1n });
      expect(await ledger.usage(windows)).toEqual([used, used]);
    });

    it('counts a session beside the windows, whatever state it goes on from, and all or none', async () => {
      const { ledger, other } = tested;
      const window = newWindow({ limits: { tickets: 3n } });
      const limit = { ruleId: 'few', maximum: 10n ** 19n, isEnforced: true };
      const watched = { ruleId: 'watched', maximum: 10n ** 18n, isEnforced: false };
      const pay = (by: SpendLedger, ev: bigint, spentEv = 0n) =>
        by.reserve([window], spend({ ev, tickets: 1n }), never, {
          id: window.ruleId,
          spentEv,
          limits: [watched, limit],
        });
      const first = requireReserved(await pay(ledger, 10n ** 18n));
      expect(first.observed).toEqual([]);
      const fork = requireReserved(await pay(other, 9n * 10n ** 18n));
      expect(fork.observed).toEqual(['watched']);
      const exceeded = { kind: 'session-exceeded', ruleId: 'few', maximum: limit.maximum };
      expect(await pay(ledger, 1n)).toEqual({ ...exceeded, spent: limit.maximum });
      expect(await ledger.usage([window])).toEqual([spend({ ev: limit.maximum, tickets: 2n })]);

      await fork.release(spend({ ev: 10n }));
      expect(await pay(ledger, 11n)).toMatchObject({ ...exceeded, spent: limit.maximum - 10n });
      const last = requireReserved(await pay(other, 10n));
      expect(await pay(ledger, 1n)).toMatchObject(exceeded);
      await last.release();
      // a state that tells of more than the ledger knows
      expect(await pay(ledger, 1n, limit.maximum)).toMatchObject(exceeded);
      requireReserved(await pay(ledger, 9n, limit.maximum - 9n));
      const full = await pay(ledger, 0n);
      expect(full).toMatchObject({ kind: 'exceeded', ruleId: window.ruleId });
    });

    it('counts sessions where there are no windows, and each by itself', async () => {
      const { ledger, other } = tested;
      const limits = [{ ruleId: 'few', maximum: 100n, isEnforced: true }];
      const id = newWindow().ruleId;
      const pay = (by: SpendLedger, name: string) =>
        by.reserve([], spend({ ev: 3n }), never, { id: name, spentEv: 0n, limits });
      const outcomes = await Promise.all(
        Array.from({ length: 64 }, (_, index) => pay(index % 2 === 0 ? ledger : other, id)),
      );
      expect(outcomes.filter(({ kind }) => kind === 'reserved')).toHaveLength(33);
      requireReserved(await pay(ledger, `${id}-other`));
    });

    it('keeps a session for a day after its last payment, and a released one not at all', async () => {
      const { ledger } = tested;
      const limits = [{ ruleId: 'few', maximum: 3n, isEnforced: true }];
      const id = newWindow().ruleId;
      const pay = (ev: bigint) =>
        ledger.reserve([], spend({ ev }), never, { id, spentEv: 0n, limits });
      requireReserved(await pay(1n));
      clock.timeMs += 24 * hourMs;
      requireReserved(await pay(1n));
      clock.timeMs += 24 * hourMs;
      expect(await pay(2n)).toMatchObject({ kind: 'session-exceeded', spent: 2n });
      const last = requireReserved(await pay(1n));
      await last.release();
      expect(await pay(2n)).toMatchObject({ kind: 'session-exceeded', spent: 2n });
    });

    it('forgets a session that has given back everything, and no other', async () => {
      const { ledger } = tested;
      const limits = [{ ruleId: 'few', maximum: 3n, isEnforced: true }];
      const [one, other] = [newWindow().ruleId, newWindow().ruleId];
      const pay = (id: string, ev: bigint) =>
        ledger.reserve([], spend({ ev }), never, { id, spentEv: 0n, limits });
      requireReserved(await pay(other, 2n));
      await requireReserved(await pay(one, 3n)).release();
      expect(await pay(other, 2n)).toMatchObject({ kind: 'session-exceeded', spent: 2n });
      requireReserved(await pay(one, 3n));
    });

    it('gives back what was reserved in an earlier slot, and nothing once that has run out', async () => {
      const window = newWindow();
      const { ledger } = tested;
      const early = requireReserved(await ledger.reserve([window], spend({ tickets: 5n }), never));
      clock.timeMs += hourMs / 2;
      const late = requireReserved(await ledger.reserve([window], spend({ tickets: 3n }), never));
      await early.release();
      expect(await ledger.usage([window])).toEqual([spend({ tickets: 3n })]);
      clock.timeMs += 2 * hourMs;
      requireReserved(await ledger.reserve([window], oneTicket, never));
      await late.release();
      expect(await ledger.usage([window])).toEqual([oneTicket]);
    });

    it('frees nothing before a window has passed, and everything one slot later', async () => {
      const window = newWindow({ limits: { tickets: 1n } });
      const { ledger } = tested;
      clock.timeMs = Math.ceil(clock.timeMs / hourMs) * hourMs;
      requireReserved(await ledger.reserve([window], oneTicket, never));
      clock.timeMs += hourMs;
      expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
      clock.timeMs += hourMs / 60 - 1;
      expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
      clock.timeMs += 1;
      expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('reserved');
    });

    it('tells when all windows that refuse have room, and has it then', async () => {
      const { ledger } = tested;
      clock.timeMs = Math.ceil(clock.timeMs / hourMs) * hourMs;
      const short = newWindow({ windowMs: 60_000, limits: { tickets: 3n } });
      const long = newWindow({ limits: { tickets: 5n, ev: 10n } });
      const watched = newWindow({
        windowMs: 24 * hourMs,
        limits: { tickets: 1n },
        isEnforced: false,
      });
      const windows = [short, watched, long];
      requireReserved(await ledger.reserve(windows, spend({ tickets: 1n, ev: 4n }), never));
      clock.timeMs += 10 * 60_000;
      requireReserved(await ledger.reserve(windows, spend({ tickets: 3n, ev: 4n }), never));
      const both = await ledger.reserve(windows, spend({ tickets: 1n, ev: 6n }), never);
      const untilLong = 51 * 60_000;
      expect(both).toMatchObject({
        kind: 'exceeded',
        ruleId: short.ruleId,
        retryAfterMs: untilLong,
      });
      clock.timeMs += untilLong - 1;
      const early = await ledger.reserve(windows, spend({ tickets: 1n, ev: 6n }), never);
      expect(early).toMatchObject({ kind: 'exceeded', ruleId: long.ruleId, retryAfterMs: 1 });
      clock.timeMs += 1;
      requireReserved(await ledger.reserve(windows, spend({ tickets: 1n, ev: 6n }), never));
    });

    it('agrees with a list of everything that was spent, at any times', async () => {
      const { ledger } = tested;
      const trial = async (steps: readonly Step[]): Promise<void> => {
        const window = newWindow({ windowMs, limits });
        const events: Event[] = [];
        for (const { afterMs, ev, tickets, isReleased } of steps) {
          clock.timeMs += afterMs;
          const slot = Math.floor(clock.timeMs / 1_000);
          const counted = sumOf(events.filter(({ atMs }) => Math.floor(atMs / 1_000) >= slot - 60));
          expect(await ledger.usage([window])).toEqual([counted]);

          const wanted = spend({ ev, tickets });
          const isTooMuch =
            (ev > 0n && counted.ev + ev > limits.ev) ||
            (tickets > 0n && counted.tickets + tickets > limits.tickets);
          const outcome = await ledger.reserve([window], wanted, never);
          expect(outcome.kind).toBe(isTooMuch ? 'exceeded' : 'reserved');
          if (outcome.kind === 'session-exceeded') throw new Error('no session is counted');
          if (outcome.kind === 'exceeded') {
            const afterMs = roomAfterMs(events, wanted, clock.timeMs);
            expect(outcome.retryAfterMs).toBe(afterMs);
            continue;
          }
          if (isReleased) await outcome.release();
          else events.push({ atMs: clock.timeMs, spent: wanted });
        }
        for (const { atMs } of events) {
          const within = events.filter(
            (other) => other.atMs >= atMs && other.atMs <= atMs + windowMs,
          );
          const sum = sumOf(within);
          expect(sum.ev <= limits.ev && sum.tickets <= limits.tickets).toBe(true);
        }
      };
      await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), trial), {
        numRuns: 50,
      });
    });

    it('grants exactly what the budget has to 64 clients on two connections', async () => {
      const windows = [newWindow({ limits: { tickets: 1_000n } }), newWindow()];
      const { ledger, other } = tested;
      const granted = await Promise.all([
        spendAll(ledger, windows, 32),
        spendAll(other, windows, 32),
      ]);
      expect(granted.reduce((sum, count) => sum + count)).toBe(1_000);
      const used = spend({ tickets: 1_000n });
      expect(await other.usage(windows)).toEqual([used, used]);
    });

    it('counts nothing for a request that has ended before', async () => {
      const window = newWindow();
      const { ledger } = tested;
      const timedOut = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
      await expect(ledger.reserve([window], oneTicket, timedOut)).rejects.toMatchObject({
        code: 'LEDGER_UNAVAILABLE',
      });
      const gone = AbortSignal.abort(new Error('the client has gone away'));
      await expect(ledger.reserve([window], oneTicket, gone)).rejects.toMatchObject({
        code: 'REQUEST_ABORTED',
      });
      expect(await ledger.usage([window])).toEqual([spend({})]);
    });

    it('gives back what was reserved for a request that ended meanwhile', async () => {
      const window = newWindow({ limits: { tickets: 1n } });
      const { ledger } = tested;
      const ending = new AbortController();
      const reserving = ledger.reserve([window], oneTicket, ending.signal);
      ending.abort(new Error('the client has gone away'));
      await expect(reserving).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
      await expect.poll(() => ledger.usage([window]), { timeout: 10_000 }).toEqual([spend({})]);
    });

    it('is healthy', async () => {
      await expect(tested.ledger.checkHealth()).resolves.toBeUndefined();
    });
  });
}
