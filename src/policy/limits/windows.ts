import type { Spend, WindowCharge, WindowLimits } from './ledger.ts';

/**
 * A window slides in 60 steps, its slots. What is spent belongs to the slot of its time, and counts as long as that slot is the
 * current one or one of the 60 before it: for 1 to 1 1/60 window lengths. So no interval of the window's length, wherever it
 * lies, sees more spent than the limit.
 */
export const slotsPerWindow = 60;

/** The number of the slot that a time falls in; both in whole milliseconds. */
export function slotAt(timeMs: number, windowMs: number): number {
  return Math.floor((timeMs * slotsPerWindow) / windowMs);
}

/** The time, in milliseconds, from which nothing that was spent up to `slot` counts any more. */
export function expiryOf(slot: number, windowMs: number): number {
  return Math.ceil(((slot + slotsPerWindow + 1) * windowMs) / slotsPerWindow);
}

/** The identity of a counter. A changed window length begins a new counter; changed limits keep the count. */
export type Counter = Pick<WindowCharge, 'ruleId' | 'scope' | 'windowMs'>;

/** What is limited, in the order in which it is checked. */
export const spendKinds = ['ev', 'tickets', 'sessions'] as const;

export const nothingSpent: Spend = { ev: 0n, tickets: 0n, sessions: 0n };

/** The sum of two spends, kind by kind. */
export function addSpend(a: Spend, b: Spend): Spend {
  return { ev: a.ev + b.ev, tickets: a.tickets + b.tickets, sessions: a.sessions + b.sessions };
}

/** The difference of two spends, kind by kind. */
export function subtractSpend(a: Spend, b: Spend): Spend {
  return { ev: a.ev - b.ev, tickets: a.tickets - b.tickets, sessions: a.sessions - b.sessions };
}

/** Whether `spend` includes all of `part`. */
export function includesSpend(spend: Spend, part: Spend): boolean {
  return spendKinds.every((kind) => spend[kind] >= part[kind]);
}

/** The first limit that `spend` no longer fits under. A kind of which a payment has none is not limited. */
export function findExceeded(
  spent: Spend,
  spend: Spend,
  limits: WindowLimits,
): keyof Spend | undefined {
  return spendKinds.find((kind) => {
    const maximum = limits[kind];
    return maximum !== undefined && spend[kind] > 0n && spent[kind] + spend[kind] > maximum;
  });
}

/** What was spent in a slot of a window. */
export type SlotSpend = { readonly slot: number; readonly spent: Spend };

/**
 * The milliseconds until `spend` will fit under the limits, if nothing else is spent until then; at least 1. `slots` are those
 * that count, the oldest first.
 */
export function roomAfterMs(
  slots: readonly SlotSpend[],
  spend: Spend,
  { windowMs, limits }: Pick<WindowCharge, 'windowMs' | 'limits'>,
  timeMs: number,
): number {
  let left = slots.map(({ spent }) => spent).reduce(addSpend, nothingSpent);
  let freedBy = 0;
  for (const { slot, spent } of slots) {
    if (findExceeded(left, spend, limits) === undefined) break;
    left = subtractSpend(left, spent);
    freedBy = slot;
  }
  return Math.max(1, expiryOf(freedBy, windowMs) - timeMs);
}
