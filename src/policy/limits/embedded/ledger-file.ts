import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDurableFolder } from '../../../files/durable-folder.ts';
import { makePrivate } from '../../../files/private-file.ts';
import type { ReserveOutcome, SessionCharge, Spend, WindowCharge } from '../ledger.ts';
import type { LedgerRecord } from '../ledger-archive.ts';
import { guardFile } from './ledger-file-error.ts';
import { judgeSession, sessionKeptMs } from '../sessions.ts';
import {
  type CounterRow,
  type ListedCounter,
  type SessionRow,
  type SlotRow,
  type SpendRow,
  type Statements,
  formatSpend,
  openDatabase,
  parseSpend,
  prepareStatements,
} from './ledger-tables.ts';
import {
  type Counter,
  type SlotSpend,
  addSpend,
  expiryOf,
  findExceeded,
  roomAfterMs,
  includesSpend,
  nothingSpent,
  slotAt,
  slotsPerWindow,
  subtractSpend,
} from '../windows.ts';

export type FileRequest =
  | {
      readonly kind: 'reserve';
      readonly charges: readonly WindowCharge[];
      readonly spend: Spend;
      readonly session: SessionCharge | undefined;
    }
  | {
      readonly kind: 'release';
      readonly counters: readonly Counter[];
      /** the slots that the reservation was counted in, in the order of the counters */
      readonly slots: readonly number[];
      readonly spend: Spend;
      /** the id of the session that the reservation was counted in */
      readonly session: string | undefined;
    }
  | { readonly kind: 'usage'; readonly counters: readonly Counter[] }
  | { readonly kind: 'check' };

export type FileResult =
  | {
      readonly kind: 'reserved';
      readonly observed: readonly string[];
      readonly slots: readonly number[];
    }
  | Extract<ReserveOutcome, { kind: 'exceeded' | 'session-exceeded' }>
  | { readonly kind: 'usage'; readonly spent: readonly Spend[] }
  | { readonly kind: 'done' };

/** A counter while a transaction is under way. */
type Tally = {
  readonly counter: Counter;
  /** undefined until it is written for the first time */
  readonly id: number | undefined;
  /** the newest slot */
  readonly slot: number;
  /** spent in the newest slot and the 60 before it */
  total: Spend;
  /** spent in the newest slot alone */
  newest: Spend;
  hasChanged: boolean;
};

const sweepIntervalMs = 600_000;
/** The most counters that one transaction deletes, so that no request waits long for it. */
const sweepSize = 500;

/**
 * The SQLite file of the spend ledger. It blocks while the disk writes, so use it in a thread of its own. Several processes may
 * have it open. Throws `LedgerFileError`, after which the file should be opened anew.
 */
export class LedgerFile {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #sql: Statements;
  #aheadMs = 0;
  #nextSweepMs = 0;

  constructor(folder: string) {
    this.#path = join(folder, 'spend.sqlite');
    this.#db = guardFile(this.#path, () => {
      makeDurableFolder(folder, 0o700);
      makePrivate(this.#path);
      return openDatabase(this.#path);
    });
    this.#sql = prepareStatements(this.#db);
  }

  /**
   * Answers the requests in their order, in one transaction, and so durably. `timeMs` never goes back while the process lives.
   * Where another process has written a later time, the ledger's clock goes on from there.
   */
  answer(requests: readonly FileRequest[], timeMs: number): FileResult[] {
    return this.#transact(() => this.#decide(requests, this.#tellTime(timeMs)));
  }

  #transact<Result>(work: () => Result): Result {
    return guardFile(this.#path, () => {
      this.#sql.begin.run();
      try {
        const result = work();
        this.#sql.commit.run();
        return result;
      } catch (error) {
        if (this.#db.isTransaction) this.#sql.rollback.run();
        throw error;
      }
    });
  }

  /** All records that still count, read in one transaction. */
  exportAll(timeMs: number): LedgerRecord[] {
    return this.#transact(() => {
      const now = this.#tellTime(timeMs);
      const counters = (this.#sql.listCounters.all(now) as ListedCounter[]).map(
        ({ id, rule, scope, window_ms: windowMs, slot }): LedgerRecord => {
          const rows = this.#sql.listSlots.all(id, slot - slotsPerWindow, slot) as SlotRow[];
          const slots = rows.map((row) => ({ slot: row.slot, spent: parseSpend(row) }));
          if (slots.at(-1)?.slot !== slot) slots.push({ slot, spent: nothingSpent });
          return { kind: 'counter', ruleId: rule, scope, windowMs, slots };
        },
      );
      const sessions = (this.#sql.listSessions.all(now) as SessionRow[]).map(
        ({ id, ev, expires_ms: expiresMs }): LedgerRecord => ({
          kind: 'session',
          id,
          ev: BigInt(ev),
          expiresMs,
        }),
      );
      return [{ kind: 'clock', timeMs: now }, ...counters, ...sessions];
    });
  }

  /** Adds all records in one transaction; none of them may be there yet. */
  importAll(records: readonly LedgerRecord[]): void {
    this.#transact(() => {
      for (const record of records) {
        if (record.kind === 'clock') {
          const { time_ms: writtenMs } = this.#sql.readClock.get() as { time_ms: number };
          this.#sql.writeClock.run(Math.max(writtenMs, record.timeMs));
        } else if (record.kind === 'session') {
          this.#sql.writeSession.run(record.id, record.ev.toString(), record.expiresMs);
        } else this.#importCounter(record);
      }
    });
  }

  #importCounter({ ruleId, scope, windowMs, slots }: Extract<LedgerRecord, { kind: 'counter' }>) {
    const newest = slots.at(-1)?.slot ?? 0;
    const total = slots.map(({ spent }) => spent).reduce(addSpend, nothingSpent);
    const values = [newest, expiryOf(newest, windowMs), ...formatSpend(total)] as const;
    const { lastInsertRowid } = this.#sql.insertCounter.run(ruleId, scope, windowMs, ...values);
    for (const { slot, spent } of slots) {
      this.#sql.writeSlot.run(lastInsertRowid, slot, ...formatSpend(spent));
    }
  }

  close(): void {
    this.#db.close();
  }

  #tellTime(timeMs: number): number {
    const { time_ms: writtenMs } = this.#sql.readClock.get() as { time_ms: number };
    this.#aheadMs = Math.max(this.#aheadMs, writtenMs - timeMs);
    return timeMs + this.#aheadMs;
  }

  #decide(requests: readonly FileRequest[], timeMs: number): FileResult[] {
    const tallies = new Map<string, Tally>();
    const load = (counter: Counter): Tally => {
      const key = JSON.stringify([counter.ruleId, counter.scope, counter.windowMs]);
      const tally = tallies.get(key) ?? this.#load(counter, timeMs);
      tallies.set(key, tally);
      return tally;
    };
    const results = requests.map((request): FileResult => {
      switch (request.kind) {
        case 'reserve':
          return this.#reserve(request.charges.map(load), request, timeMs);
        case 'release':
          this.#release(request.counters.map(load), request.slots, request.spend);
          if (request.session !== undefined) this.#releaseSession(request.session, request.spend);
          return { kind: 'done' };
        case 'usage':
          return { kind: 'usage', spent: request.counters.map((counter) => load(counter).total) };
        case 'check':
          this.#sql.writeClock.run(timeMs);
          return { kind: 'done' };
      }
    });
    const changed = [...tallies.values()].filter(({ hasChanged }) => hasChanged);
    for (const tally of changed) this.#write(tally);
    const hasReserved = results.some(({ kind }) => kind === 'reserved');
    if (changed.length > 0 || hasReserved) this.#sql.writeClock.run(timeMs);
    this.#sweep(timeMs);
    return results;
  }

  #load(counter: Counter, timeMs: number): Tally {
    const { ruleId, scope, windowMs } = counter;
    const now = slotAt(timeMs, windowMs);
    const row = this.#sql.readCounter.get(ruleId, scope, windowMs) as CounterRow | undefined;
    const fresh = { counter, slot: now, newest: nothingSpent };
    if (!row) return { ...fresh, id: undefined, total: nothingSpent, hasChanged: false };
    const { id, slot } = row;
    const total = parseSpend(row);
    if (slot >= now) {
      const newest = this.#readSlot(id, slot) ?? nothingSpent;
      return { counter, id, slot, total, newest, hasChanged: false };
    }
    const expired = this.#sql.deleteSlots.all(id, now - slotsPerWindow) as SpendRow[];
    const left = expired.map(parseSpend).reduce(subtractSpend, total);
    return { ...fresh, id, total: left, hasChanged: true };
  }

  /** Counts in all windows or in none: the enforced ones are checked first. */
  #reserve(
    tallies: readonly Tally[],
    { charges, spend, session }: Extract<FileRequest, { kind: 'reserve' }>,
    timeMs: number,
  ): FileResult {
    const verdict = session && judgeSession(this.#readSession(session.id), session, spend.ev);
    if (verdict?.exceeded) return verdict.exceeded;
    const observed = [...(verdict?.observed ?? [])];
    let exceeded: Extract<FileResult, { kind: 'exceeded' }> | undefined;
    for (const [index, tally] of tallies.entries()) {
      const charge = charges[index];
      if (!charge) continue;
      const { ruleId, limits, isEnforced } = charge;
      const limit = findExceeded(tally.total, spend, limits);
      if (limit === undefined) continue;
      if (!isEnforced) {
        observed.push(ruleId);
        continue;
      }
      const retryAfterMs = roomAfterMs(this.#readSlots(tally), spend, charge, timeMs);
      exceeded = exceeded
        ? { ...exceeded, retryAfterMs: Math.max(exceeded.retryAfterMs, retryAfterMs) }
        : { kind: 'exceeded', ruleId, limit, maximum: limits[limit] ?? 0n, retryAfterMs };
    }
    if (exceeded) return exceeded;
    if (session && verdict) {
      this.#sql.writeSession.run(session.id, verdict.total.toString(), timeMs + sessionKeptMs);
    }
    for (const tally of tallies) {
      tally.total = addSpend(tally.total, spend);
      tally.newest = addSpend(tally.newest, spend);
      tally.hasChanged = true;
    }
    return { kind: 'reserved', observed, slots: tallies.map(({ slot }) => slot) };
  }

  #readSession(id: string): bigint {
    const row = this.#sql.readSession.get(id) as { ev: string } | undefined;
    return BigInt(row?.ev ?? 0);
  }

  #releaseSession(id: string, { ev }: Spend): void {
    const left = this.#readSession(id) - ev;
    if (left > 0n) this.#sql.updateSession.run(left.toString(), id);
    else this.#sql.deleteSession.run(id);
  }

  /** The oldest first. */
  #readSlots({ id, slot, newest }: Tally): SlotSpend[] {
    const rows =
      id === undefined
        ? []
        : (this.#sql.readSlots.all(id, slot) as (SpendRow & { readonly slot: number })[]);
    return [
      ...rows.map((row) => ({ slot: row.slot, spent: parseSpend(row) })),
      { slot, spent: newest },
    ];
  }

  #readSlot(id: number, slot: number): Spend | undefined {
    const row = this.#sql.readSlot.get(id, slot) as SpendRow | undefined;
    return row && parseSpend(row);
  }

  /** Takes a reservation out of the slots that still count. */
  #release(tallies: readonly Tally[], slots: readonly number[], spend: Spend): void {
    for (const [index, tally] of tallies.entries()) {
      const slot = slots[index];
      if (slot === undefined || tally.id === undefined) continue;
      const counted = slot === tally.slot ? tally.newest : this.#readSlot(tally.id, slot);
      if (!counted || !includesSpend(counted, spend)) continue;
      const left = subtractSpend(counted, spend);
      if (slot === tally.slot) tally.newest = left;
      else this.#sql.writeSlot.run(tally.id, slot, ...formatSpend(left));
      tally.total = subtractSpend(tally.total, spend);
      tally.hasChanged = true;
    }
  }

  #write({ counter, id, slot, total, newest }: Tally): void {
    const { ruleId, scope, windowMs } = counter;
    const values = [slot, expiryOf(slot, windowMs), ...formatSpend(total)] as const;
    if (id !== undefined) this.#sql.updateCounter.run(...values, id);
    const written =
      id ?? this.#sql.insertCounter.run(ruleId, scope, windowMs, ...values).lastInsertRowid;
    this.#sql.writeSlot.run(written, slot, ...formatSpend(newest));
  }

  /** Deletes counters in which nothing counts any more, and sessions that are over. */
  #sweep(timeMs: number): void {
    if (timeMs < this.#nextSweepMs) return;
    const { deleteCounters, deleteSessions } = this.#sql;
    const sweeps = [deleteCounters, deleteSessions].map((sweep) => sweep.run(timeMs, sweepSize));
    if (sweeps.every(({ changes }) => Number(changes) < sweepSize)) {
      this.#nextSweepMs = timeMs + sweepIntervalMs;
    }
  }
}
