import { describe, expect, it } from 'vitest';
import {
  type BillingRule,
  type PaymentType,
  billableUse,
  feeFor,
  parsePaymentType,
  priceRatio,
} from '../../src/pm/billing.ts';
import { rational } from '../../src/pm/rational.ts';
import { fc } from '../support/fast-check.ts';

const second = 1_000_000_000n;
const rules = ['keep-one-ticket', 'upstream'] as const;
const nothing = { code: 'NOTHING_TO_BILL', data: {} };

function unitsOf(
  type: PaymentType,
  elapsed: bigint | undefined,
  rule: BillingRule,
  inPixels = 0n,
): bigint | string {
  const use = billableUse(type, elapsed, inPixels, rule);
  return 'code' in use ? use.code : use.units;
}

describe.each(rules)('under the rule %s', (rule) => {
  it('a first payment covers 60 s of lv2v, and 10 s of live', () => {
    expect(billableUse('lv2v', undefined, 0n, rule)).toEqual({
      units: 1_658_880_000n,
      billedNanoseconds: 60n * second,
    });
    expect(billableUse('live', undefined, 0n, rule)).toEqual({
      units: 10n,
      billedNanoseconds: 10n * second,
    });
  });

  it('lv2v bills 27,648,000 pixels a second, cut off to whole ones', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 37n, max: 10n ** 16n }), (elapsed) => {
        const units = unitsOf('lv2v', elapsed, rule) as bigint;
        expect(units * second <= 27_648_000n * elapsed).toBe(true);
        expect((units + 1n) * second > 27_648_000n * elapsed).toBe(true);
      }),
    );
  });

  it('lv2v has nothing to bill in less than 37 ns', () => {
    expect(unitsOf('lv2v', 36n, rule)).toBe('NOTHING_TO_BILL');
    expect(unitsOf('lv2v', 37n, rule)).toBe(1n);
  });

  it.each([
    [1n, 1n],
    [second - 1n, 1n],
    [second, 1n],
    [second + 1n, 2n],
    [4n * second, 4n],
    [4n * second + 1n, 5n],
  ])('live bills %s ns as %s started seconds', (elapsed, units) => {
    expect(unitsOf('live', elapsed, rule)).toBe(units);
  });

  it('fixed is one unit, whatever the time and the pixels', () => {
    for (const elapsed of [undefined, -second, 0n, 1n, 10n ** 18n]) {
      expect(unitsOf('fixed', elapsed, rule, 77n)).toBe(1n);
    }
  });

  it('no type bills the pixels named, and needs some', () => {
    expect(unitsOf('', undefined, rule, 5n)).toBe(5n);
    expect(unitsOf('', -second, rule, 2n ** 63n - 1n)).toBe(2n ** 63n - 1n);
    expect(billableUse('', second, 0n, rule)).toEqual(nothing);
    expect(billableUse('', second, -1n, rule)).toEqual(nothing);
  });
});

describe('a clock that stood still or was set back', () => {
  it.each(['lv2v', 'live'] as const)('costs nothing in a session of type %s', (type) => {
    for (const elapsed of [0n, -1n, -second, -(10n ** 18n)]) {
      expect(billableUse(type, elapsed, 0n, 'keep-one-ticket')).toEqual({
        units: 0n,
        billedNanoseconds: 0n,
      });
    }
  });

  it.each([
    ['lv2v', 1_658_880_000n],
    ['live', 10n],
  ] as const)('bills the preload of %s again as upstream does', (type, units) => {
    for (const elapsed of [0n, -1n, -second]) {
      expect(unitsOf(type, elapsed, 'upstream')).toBe(units);
    }
  });
});

describe('prices', () => {
  it('give exact fees: units times price per unit', () => {
    const int64 = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(int64, int64, int64, (units, pricePerUnit, pixelsPerUnit) => {
        const fee = feeFor(units, { pricePerUnit, pixelsPerUnit });
        expect(fee.numerator * pixelsPerUnit).toBe(units * pricePerUnit * fee.denominator);
        expect(priceRatio({ pricePerUnit, pixelsPerUnit })).toEqual(
          rational(pricePerUnit, pixelsPerUnit),
        );
      }),
    );
  });

  it('need a number of pixels', () => {
    expect(() => feeFor(1n, { pricePerUnit: 1n, pixelsPerUnit: 0n })).toThrow(RangeError);
    expect(() => priceRatio({ pricePerUnit: 1n, pixelsPerUnit: 0n })).toThrow(RangeError);
  });
});

describe('payment types', () => {
  it.each(['lv2v', 'live', 'fixed', ''])('%j is one', (text) => {
    expect(parsePaymentType(text)).toBe(text);
  });

  it.each(['LV2V', 'lv2v ', 'Live', 'usage', 'byoc', '__proto__', 'undefined'])(
    '%j is none',
    (text) => {
      expect(parsePaymentType(text)).toBeUndefined();
    },
  );
});
