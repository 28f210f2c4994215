import { InternalError } from '../../errors.ts';
import type { ReserveOutcome, SessionCharge, Spend, SpendLedger, WindowCharge } from './ledger.ts';

/**
 * Opens the ledger of what windows and sessions have spent, which happens when the first rule needs it. It is missing where none
 * is configured: then no rule has windows, and session limits rely on the session states alone.
 */
export type LedgerOpener = () => Promise<SpendLedger>;

const nothingReserved: ReserveOutcome = {
  kind: 'reserved',
  observed: [],
  release: () => Promise.resolve(),
};

/** Reserves what a payment spends, where any window or session counts it. Throws `LEDGER_UNAVAILABLE`. */
export async function reserve(
  ledger: LedgerOpener | undefined,
  charges: readonly WindowCharge[],
  spend: Spend,
  signal: AbortSignal,
  session?: SessionCharge,
): Promise<ReserveOutcome> {
  if (charges.length === 0 && !session) return nothingReserved;
  if (!ledger) throw new InternalError('INTERNAL', 'there are windows, and no spend ledger');
  return (await ledger()).reserve(charges, spend, signal, session);
}

/** A window, and what was spent in it before. */
export type WindowUsage = { readonly charge: WindowCharge; readonly spent: Spend };

/**
 * What was spent in each window, for the record of a denial; undefined where that can't be read, which does not change the
 * denial.
 */
export async function usageOf(
  ledger: LedgerOpener | undefined,
  charges: readonly WindowCharge[],
): Promise<readonly WindowUsage[] | undefined> {
  try {
    const spent = await (await ledger?.())?.usage(charges);
    return spent && charges.flatMap((charge, index) => usageAt(charge, spent[index]));
  } catch {
    return undefined;
  }
}

function usageAt(charge: WindowCharge, spent: Spend | undefined): WindowUsage[] {
  return spent ? [{ charge, spent }] : [];
}
