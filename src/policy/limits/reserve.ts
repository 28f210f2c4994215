import { InternalError } from '../../errors.ts';
import type { ReserveOutcome, SessionCharge, Spend, SpendLedger, WindowCharge } from './ledger.ts';

/**
 * Where is kept what windows and sessions have spent; opened when the first rule needs it. There is none where none is
 * configured: no rule has windows then, and session limits go by the states alone.
 */
export type LedgerOpener = () => Promise<SpendLedger>;

const nothingReserved: ReserveOutcome = {
  kind: 'reserved',
  observed: [],
  release: () => Promise.resolve(),
};

/** Reserves what is to be spent, where anything counts it. Throws `LEDGER_UNAVAILABLE`. */
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
