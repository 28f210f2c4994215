import { z } from 'zod';
import { RecordsError } from '../../../errors.ts';
import { describeAbort, isTimeout } from '../../../keys/describe-abort.ts';
import { randomId } from '../../../random-id.ts';
import { type ScriptRunner, describeScriptFailure } from '../../../store/script-runner.ts';
import { UnderWay } from '../../../under-way.ts';
import type { ReserveOutcome, SessionCharge, Spend, SpendLedger, WindowCharge } from '../ledger.ts';
import { joinAmount, splitAmount } from './redis-amounts.ts';
import { healthScript, releaseScript, reserveScript, usageScript } from './redis-scripts.ts';
import { sessionKeptMs } from '../sessions.ts';
import { type Counter, spendKinds } from '../windows.ts';

export type RedisLedgerOptions = {
  readonly redis: ScriptRunner;
  readonly keyPrefix: string;
};

const reserveReply = z.union([
  z.tuple([z.literal(1), z.array(z.string().regex(/^\d+$/)), z.array(z.int()), z.array(z.int())]),
  z.tuple([z.literal(2), z.int(), z.string().regex(/^\d+ \d+$/)]),
  z.tuple([z.literal(0), z.int(), z.int(), z.int().positive()]),
]);
const usageReply = z.array(z.string().regex(/^\d+( \d+){5}$/));

/**
 * The ledger in Redis, for instances that share it. A reservation takes one round trip. One whose outcome is not known has
 * failed; it stays counted where Redis has counted it and its answer never comes.
 */
export function createRedisLedger({ redis, keyPrefix }: RedisLedgerOptions): SpendLedger {
  const keyOf = ({ ruleId, scope, windowMs }: Counter): string =>
    `${keyPrefix}spend:${JSON.stringify([ruleId, scope, windowMs])}`;

  /** releases that nobody waits for */
  const givingBack = new UnderWay();

  return {
    async reserve(charges, spend, signal, session) {
      failIfEnded(signal);
      const keys = [`${keyPrefix}reservation:${randomId()}`, ...charges.map(keyOf)];
      if (session) keys.push(`${keyPrefix}session:${session.id}`);
      const giveBack = async (slots: readonly string[], unused = spend): Promise<void> => {
        const args = [...listAmounts(unused), ...slots];
        await redis.run(releaseScript, keys, args).catch(() => undefined);
      };
      const giveBackLate = (late: unknown): void => {
        const { data: reply } = reserveReply.safeParse(late);
        if (reply?.[0] === 1) void givingBack.add(giveBack(reply[1]));
      };
      const args = [
        ...listAmounts(spend),
        `${charges.length}`,
        ...charges.flatMap(listTerms),
        ...(session ? listSessionTerms(session) : []),
      ];
      const reply = await redis
        .run(reserveScript, keys, args, giveBackLate)
        .then((raw) => reserveReply.parse(raw))
        .catch(failAsUnavailable);
      if (reply[0] === 0) return describeExceeded(charges, reply);
      if (reply[0] === 2) return describeSessionExceeded(session, reply);
      const [, slots, observed, sessionObserved] = reply;
      if (signal.aborted) void givingBack.add(giveBack(slots));
      failIfEnded(signal);
      let released: Promise<void> | undefined;
      return {
        kind: 'reserved',
        observed: [
          ...sessionObserved.flatMap((index) => session?.limits[index]?.ruleId ?? []),
          ...observed.flatMap((index) => charges[index]?.ruleId ?? []),
        ],
        release: (unused) => (released ??= giveBack(slots, unused)),
      };
    },
    async usage(charges) {
      const args = charges.map(({ windowMs }) => `${windowMs}`);
      const totals = await redis
        .run(usageScript, charges.map(keyOf), args)
        .then((raw) => usageReply.parse(raw))
        .catch(failAsUnavailable);
      return totals.map(parseAmounts);
    },
    async checkHealth() {
      await redis.run(healthScript, [`${keyPrefix}health`], []).catch(failAsUnavailable);
    },
    /** The connection is closed by the caller, who made it, but only after this. */
    close: () => givingBack.end(closeTimeoutMs),
  };
}

/** Longer than Redis may take to answer. */
const closeTimeoutMs = 5_000;

function listAmounts(spend: Spend): string[] {
  return spendKinds.flatMap((kind) => splitAmount(spend[kind]));
}

function listTerms({ windowMs, isEnforced, limits }: WindowCharge): string[] {
  const maxima = spendKinds.flatMap((kind) => {
    const maximum = limits[kind];
    return maximum === undefined ? ['', ''] : splitAmount(maximum);
  });
  return [`${windowMs}`, isEnforced ? '1' : '0', ...maxima];
}

function listSessionTerms({ spentEv, limits }: SessionCharge): string[] {
  const terms = limits.flatMap(({ isEnforced, maximum }) => [
    isEnforced ? '1' : '0',
    ...splitAmount(maximum),
  ]);
  return [...splitAmount(spentEv), `${sessionKeptMs}`, ...terms];
}

function parseAmounts(text: string): Spend {
  const numbers = text.split(' ').map(BigInt);
  const amountAt = (place: number): bigint =>
    joinAmount(numbers[place] ?? 0n, numbers[place + 1] ?? 0n);
  return { ev: amountAt(0), tickets: amountAt(2), sessions: amountAt(4) };
}

function describeExceeded(
  charges: readonly WindowCharge[],
  [, charge, kind, retryAfterMs]: readonly [0, number, number, number],
): ReserveOutcome {
  const { ruleId, limits } = charges[charge] ?? {};
  const limit = spendKinds[kind];
  const maximum = limit && limits?.[limit];
  if (ruleId === undefined || !limit || maximum === undefined) {
    return failAsUnavailable('Redis answered a limit that was not asked for');
  }
  return { kind: 'exceeded', ruleId, limit, maximum, retryAfterMs };
}

function describeSessionExceeded(
  session: SessionCharge | undefined,
  [, index, spentText]: readonly [2, number, string],
): ReserveOutcome {
  const limit = session?.limits[index];
  if (!limit) return failAsUnavailable('Redis answered a session limit that was not asked for');
  const { ruleId, maximum } = limit;
  return { kind: 'session-exceeded', ruleId, maximum, spent: parseAmounts(spentText).ev };
}

function failAsUnavailable(cause: unknown): never {
  const details = describeScriptFailure(cause);
  const message = 'the spend ledger in Redis did not answer as it should';
  throw new RecordsError('LEDGER_UNAVAILABLE', message, { details, retryable: true, cause });
}

function failIfEnded(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (!isTimeout(signal)) throw describeAbort('the spend ledger', signal);
  const message = 'the spend ledger did not answer before the deadline';
  throw new RecordsError('LEDGER_UNAVAILABLE', message, { retryable: true });
}
