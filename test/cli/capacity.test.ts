import { describe, expect, it } from 'vitest';
import {
  type KeyService,
  countNeeded,
  formatUsd,
  groupThousands,
  planCapacity,
} from '../../src/cli/capacity.ts';
import { rational } from '../../src/pm/rational.ts';

const aws: KeyService = {
  callsPerSecond: 1_000n,
  quotaUnit: 'Regions',
  callMicroUsd: 15n,
  keyMicroUsdPerMonth: 1_000_000n,
};
const demand = { sessions: 100_000n, intervalMs: 10_000n, tickets: rational(3n, 2n) };

describe('planCapacity', () => {
  it('counts N key calls a payment where the state is sealed without one', () => {
    expect(planCapacity(demand, aws, 0n)).toEqual({
      paymentsPerSecond: rational(10_000n),
      keyCallsPerPayment: rational(3n, 2n),
      keyCallsPerSecond: rational(15_000n),
      keyCallsPerMonth: rational(39_420_000_000n),
      quotaUnits: 15n,
      callsMicroUsd: 591_300_000_000n,
      keysMicroUsd: 15_000_000n,
    });
  });

  it('counts N + 2 where credentials and state take one each', () => {
    expect(planCapacity(demand, aws, 2n)).toEqual({
      paymentsPerSecond: rational(10_000n),
      keyCallsPerPayment: rational(7n, 2n),
      keyCallsPerSecond: rational(35_000n),
      keyCallsPerMonth: rational(91_980_000_000n),
      quotaUnits: 35n,
      callsMicroUsd: 1_379_700_000_000n,
      keysMicroUsd: 35_000_000n,
    });
  });

  it('keeps fractions until the end and rounds up', () => {
    const capacity = planCapacity(
      { sessions: 1n, intervalMs: 7_000n, tickets: rational(1n) },
      aws,
      0n,
    );
    expect(capacity.keyCallsPerSecond).toEqual(rational(1n, 7n));
    expect(capacity.quotaUnits).toBe(1n);
    // 2,628,000 / 7 calls of 15 µUSD are 5,631,428.57… µUSD
    expect(capacity.callsMicroUsd).toBe(5_631_429n);
  });

  it('needs one more unit of the quota for one call more than a whole number of them', () => {
    const callsOf = (sessions: bigint) =>
      planCapacity({ sessions, intervalMs: 1_000n, tickets: rational(1n) }, aws, 0n).quotaUnits;
    expect([1_000n, 1_001n, 2_000n].map(callsOf)).toEqual([1n, 2n, 2n]);
  });

  it('has no quota to divide by where the device has none, and prices one key', () => {
    const { quotaUnits, keysMicroUsd } = planCapacity(
      demand,
      { ...aws, callsPerSecond: undefined },
      0n,
    );
    expect({ quotaUnits, keysMicroUsd }).toEqual({
      quotaUnits: undefined,
      keysMicroUsd: 1_000_000n,
    });
  });

  it('is exact where a floating-point number would not be', () => {
    const { callsMicroUsd } = planCapacity(
      { sessions: 9_007_199_254_740_993n, intervalMs: 1_000n, tickets: rational(1n) },
      aws,
      0n,
    );
    expect(callsMicroUsd).toBe(9_007_199_254_740_993n * 2_628_000n * 15n);
  });
});

describe('countNeeded', () => {
  it('rounds up', () => {
    expect(countNeeded(rational(10_000n), rational(3_333n))).toBe(4n);
    expect(countNeeded(rational(9_999n), rational(3_333n))).toBe(3n);
  });
});

describe('formatUsd', () => {
  it.each([
    [0n, '$0.00'],
    [1n, '$0.01'],
    [10_000n, '$0.01'],
    [10_001n, '$0.02'],
    [1_234_567_890_000n, '$1,234,567.89'],
  ])('writes %s micro-USD as %s', (microUsd, text) => {
    expect(formatUsd(microUsd)).toBe(text);
  });
});

describe('groupThousands', () => {
  it('parts digits in threes', () => {
    expect([7n, 999n, 1_000n, 1_234_567n].map(groupThousands)).toEqual([
      '7',
      '999',
      '1,000',
      '1,234,567',
    ]);
  });
});
