import { describe, expect, it } from 'vitest';
import { parseMaxPrice, refusePriceAboveCeilings } from '../../src/pm/price-ceilings.ts';
import { compare } from '../../src/pm/rational.ts';
import { anyAmount } from './arbitraries.ts';
import { fc } from '../support/fast-check.ts';

describe('refusePriceAboveCeilings', () => {
  const sources = [
    'configured maximum price',
    'request maxPrice',
    'initial session price',
  ] as const;

  it('refuses exactly what is above some ceiling, and names the lowest', () => {
    const maximum = fc.option(anyAmount, { nil: undefined });
    fc.assert(
      fc.property(anyAmount, fc.tuple(maximum, maximum, maximum), (price, maxima) => {
        const ceilings = sources.map((source, index) => ({ source, maximum: maxima[index] }));
        const refusal = refusePriceAboveCeilings(price, ceilings);
        const present = ceilings.filter((ceiling) => ceiling.maximum !== undefined);
        const isAbove = present.some((c) => c.maximum && compare(price, c.maximum) > 0);
        expect(refusal?.code).toBe(isAbove ? 'PRICE_ABOVE_CEILING' : undefined);
        if (!refusal) return;
        const lowest = present.find((one) =>
          present.every(
            (other) => one.maximum && other.maximum && compare(one.maximum, other.maximum) <= 0,
          ),
        );
        expect(refusal.data).toEqual({ ...lowest, actual: price });
      }),
    );
  });

  it('allows any price when there is no ceiling', () => {
    fc.assert(
      fc.property(anyAmount, (price) => {
        expect(refusePriceAboveCeilings(price, [])).toBeUndefined();
      }),
    );
  });
});

describe('parseMaxPrice', () => {
  it.each(['constructor', '__proto__', 'toString', 'LIVE', ''])(
    'refuses the payment type %j',
    (type) => {
      const parsed = parseMaxPrice({ price: '1', currency: 'wei', unit: 'seconds' }, type);
      expect(parsed).toMatchObject({ code: 'MAX_PRICE_INVALID' });
    },
  );
});
