import { type Rational, add, divideRoundingUp, rational, scale } from '../pm/rational.ts';

/** The load to be served. */
export type Demand = {
  /** sessions that run at the same time */
  readonly sessions: bigint;
  /** between two payments of a session, in milliseconds */
  readonly intervalMs: bigint;
  /** of one payment, on average */
  readonly tickets: Rational;
};

/** The quota and prices of a key service. Its page under docs/providers has the source of each number. */
export type KeyService = {
  /** key calls per second; undefined where that depends on the device */
  readonly callsPerSecond: bigint | undefined;
  /** the unit that has this quota: one more unit brings the same quota again */
  readonly quotaUnit: string;
  /** micro-USD for one key call */
  readonly callMicroUsd: bigint;
  /** micro-USD per month for the key in one such unit */
  readonly keyMicroUsdPerMonth: bigint;
};

export type Capacity = {
  readonly paymentsPerSecond: Rational;
  readonly keyCallsPerPayment: Rational;
  readonly keyCallsPerSecond: Rational;
  readonly keyCallsPerMonth: Rational;
  /** units of the quota that are needed; undefined without a quota */
  readonly quotaUnits: bigint | undefined;
  /** micro-USD a month, rounded up */
  readonly callsMicroUsd: bigint;
  readonly keysMicroUsd: bigint;
};

/** 730 hours, as cloud providers count a month. */
const secondsPerMonth = 730n * 3600n;

/**
 * The arithmetic of running sessions, exact. `callsBesideTickets` are the key calls of a payment that sign no ticket: none
 * here, two in go-livepeer's design (segment credentials and session state).
 */
export function planCapacity(
  { sessions, intervalMs, tickets }: Demand,
  service: KeyService,
  callsBesideTickets: bigint,
): Capacity {
  const paymentsPerSecond = rational(1000n * sessions, intervalMs);
  const keyCallsPerPayment = add(tickets, rational(callsBesideTickets));
  const keyCallsPerSecond = rational(
    paymentsPerSecond.numerator * keyCallsPerPayment.numerator,
    paymentsPerSecond.denominator * keyCallsPerPayment.denominator,
  );
  const keyCallsPerMonth = scale(keyCallsPerSecond, secondsPerMonth);
  const quotaUnits =
    service.callsPerSecond && divideRoundingUp(keyCallsPerSecond, rational(service.callsPerSecond));
  return {
    paymentsPerSecond,
    keyCallsPerPayment,
    keyCallsPerSecond,
    keyCallsPerMonth,
    quotaUnits,
    callsMicroUsd: roundUp(scale(keyCallsPerMonth, service.callMicroUsd)),
    keysMicroUsd: (quotaUnits ?? 1n) * service.keyMicroUsdPerMonth,
  };
}

/** How many things that each do `each` per second are needed for `demand` per second. */
export function countNeeded(demand: Rational, each: Rational): bigint {
  return divideRoundingUp(demand, each);
}

function roundUp(value: Rational): bigint {
  return divideRoundingUp(value, rational(1n));
}

const microUsdPerCent = 10_000n;

/** `$1,234.56`, rounded up to the cent. */
export function formatUsd(microUsd: bigint): string {
  const cents = (microUsd + microUsdPerCent - 1n) / microUsdPerCent;
  return `$${groupThousands(cents / 100n)}.${(cents % 100n).toString().padStart(2, '0')}`;
}

/** Digits in groups of three. */
export function groupThousands(whole: bigint): string {
  return whole.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}
