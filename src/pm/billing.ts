import type { Refusal } from './refusal.ts';
import { type Rational, rational } from './rational.ts';

/** `lv2v` bills pixels of 720p30 video by time, `live` whole seconds, `fixed` one request, `` the pixels named. */
export type PaymentType = 'lv2v' | 'live' | 'fixed' | '';

/** `keep-one-ticket`: see `ticketsDue`. `upstream` reproduces go-livepeer. */
export type BillingRule = 'keep-one-ticket' | 'upstream';

/** An orchestrator's price: wei for `pixelsPerUnit` billing units. */
export type Price = { readonly pricePerUnit: bigint; readonly pixelsPerUnit: bigint };

const nanosecondsPerSecond = 1_000_000_000n;
const lv2vPixelsPerSecond = 1280n * 720n * 30n;
/** How many units of what is billed by time make an hour. */
export const unitsPerHour = { lv2v: 3600n * lv2vPixelsPerSecond, live: 3600n } as const;

/** What the first payment of a session covers, since no time has passed yet. */
const preloadNanoseconds = {
  lv2v: 60n * nanosecondsPerSecond,
  live: 10n * nanosecondsPerSecond,
} as const;

/** Reads a payment type, which is case-sensitive; undefined when the text is none. */
export function parsePaymentType(text: string): PaymentType | undefined {
  return text === 'lv2v' || text === 'live' || text === 'fixed' || text === '' ? text : undefined;
}

export type BillableUse = {
  /** pixels, seconds or requests, depending on the type */
  readonly units: bigint;
  /** the time the payment stands for, in nanoseconds; reported, and billed for `lv2v` and `live` only */
  readonly billedNanoseconds: bigint;
};

/**
 * The use to be billed. `elapsedNanoseconds` is the time since the session's last payment, undefined for its first. Upstream
 * bills the preload again whenever no time or negative time has passed; the default rule counts that as no use at all, so that a
 * clock that steps back costs nothing.
 */
export function billableUse(
  type: PaymentType,
  elapsedNanoseconds: bigint | undefined,
  inPixels: bigint,
  rule: BillingRule,
): BillableUse | Refusal {
  const elapsed = elapsedNanoseconds ?? 0n;
  const use = { units: 0n, billedNanoseconds: elapsed };
  switch (type) {
    case 'fixed':
      return { ...use, units: 1n };
    case '':
      use.units = inPixels;
      break;
    case 'lv2v':
    case 'live': {
      if (elapsed <= 0n) {
        const isFirst = elapsedNanoseconds === undefined;
        if (!isFirst && rule === 'keep-one-ticket') return { units: 0n, billedNanoseconds: 0n };
        use.billedNanoseconds = preloadNanoseconds[type];
      }
      use.units =
        type === 'lv2v'
          ? (lv2vPixelsPerSecond * use.billedNanoseconds) / nanosecondsPerSecond
          : (use.billedNanoseconds + nanosecondsPerSecond - 1n) / nanosecondsPerSecond;
    }
  }
  return use.units > 0n ? use : { code: 'NOTHING_TO_BILL', data: {} };
}

/** wei for these units at this price, exact. Throws RangeError when `pixelsPerUnit` is zero. */
export function feeFor(units: bigint, price: Price): Rational {
  return rational(units * price.pricePerUnit, price.pixelsPerUnit);
}

/** wei per billing unit, exact. Throws RangeError when `pixelsPerUnit` is zero. */
export function priceRatio(price: Price): Rational {
  return rational(price.pricePerUnit, price.pixelsPerUnit);
}
