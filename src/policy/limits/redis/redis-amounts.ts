import { RecordsError } from '../../../errors.ts';
import { lowDigits } from './redis-scripts.ts';

const lowBase = 10n ** lowDigits;
/** Lua's numbers are exact up to this one. */
const highLimit = 9n * 10n ** 15n;

/** An amount as the scripts take it: two digits in base 10^15. */
export function splitAmount(amount: bigint): [high: string, low: string] {
  return [`${amount / lowBase}`, `${amount % lowBase}`];
}

/** The amount that {@link splitAmount} has split. */
export function joinAmount(high: bigint, low: bigint): bigint {
  return high * lowBase + low;
}

/** Throws `LEDGER_UNAVAILABLE` for an amount that the scripts could not add up exactly. */
export function requireExact(amount: bigint): void {
  if (amount / lowBase < highLimit) return;
  throw new RecordsError('LEDGER_UNAVAILABLE', 'an amount is larger than Redis can add up exactly');
}
