import { isSignerError } from '../../errors.ts';
import { isRefusal } from '../../store/script-runner.ts';
import type { ReserveOutcome, SpendLedger } from './ledger.ts';

const logIntervalMs = 5_000;

/**
 * A ledger whose failure does not stop payments: while it can't be reached nothing is reserved, and so nothing is limited. Its
 * health is reported unchanged.
 */
export function failOpen(
  ledger: SpendLedger,
  log: (level: 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void,
): SpendLedger {
  let nextLogMs = 0;
  return {
    ...ledger,
    async reserve(charges, spend, signal, session): Promise<ReserveOutcome> {
      try {
        return await ledger.reserve(charges, spend, signal, session);
      } catch (error) {
        if (!isSignerError(error) || error.code !== 'LEDGER_UNAVAILABLE') throw error;
        if (isRefusal(error.details ?? '')) throw error;
        if (performance.now() >= nextLogMs) {
          nextLogMs = performance.now() + logIntervalMs;
          const { message, details } = error;
          log('warn', 'payments go on without windows', { reason: message, details });
        }
        return { kind: 'reserved', observed: [], release: () => Promise.resolve() };
      }
    },
  };
}
