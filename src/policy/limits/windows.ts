import type { Spend, WindowCharge, WindowLimits } from './ledger.ts';

/**
 * A window slides in 60 steps. What is spent counts in the slot it falls into, and as spent for as long as the slot is the
 * current one or one of the 60 before it: 1 to 1 1/60 window lengths. So in no interval of the window's length, however it
 * lies, more than the limit is spent.
 */
export const slotsPerWindow = 60;

/** The slot of a time; both in whole ms. */
export function slotAt(timeMs: number, windowMs: number): number {
  return Math.floor((timeMs * slotsPerWindow) / windowMs);
}

/** When nothing of what was spent up to `slot` counts any more, in ms. */
export function expiryOf(slot: number, windowMs: number): number {
  return Math.ceil(((slot + slotsPerWindow + 1) * windowMs) / slotsPerWindow);
}

/** What tells one counter from another: a changed length starts anew, changed limits keep the counts. */
export type Counter = Pick<WindowCharge, 'ruleId' | 'scope' | 'windowMs'>;

/** What is limited, in the order in which it is checked. */
export const spendKinds = ['ev', 'tickets', 'sessions'] as const;

export const nothingSpent: Spend = { ev: 0n, tickets: 0n, sessions: 0n };

export function addSpend(a: Spend, b: Spend): Spend {
  return { ev: a.ev + b.ev, tickets: a.tickets + b.tickets, sessions: a.sessions + b.sessions };
}

export function subtractSpend(a: Spend, b: Spend): Spend {
  return { ev: a.ev - b.ev, tickets: a.tickets - b.tickets, sessions: a.sessions - b.sessions };
}

/** Whether `spend` has all of `part`. */
export function includesSpend(spend: Spend, part: Spend): boolean {
  return spendKinds.every((kind) => spend[kind] >= part[kind]);
}

/** The first limit that `spend` does not fit under any more. What a payment has none of is not limited. */
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
 * In how many ms `spend` will fit under the limits, when nothing else is spent until then; at least 1. `slots` are those that
 * count, the oldest first.
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
