import { describe, expect, it } from 'vitest';
import {
  judgedPrice,
  parseMaxPrice,
  refusePriceAboveCeilings,
} from '../../src/pm/price-ceilings.ts';
import { compare, rational } from '../../src/pm/rational.ts';
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

it('the price that is judged is the higher one of now and of the first payment', () => {
  const [low, high] = [
    { pricePerUnit: 1n, pixelsPerUnit: 3n },
    { pricePerUnit: 2n, pixelsPerUnit: 5n },
  ];
  for (const price of [judgedPrice(low, high), judgedPrice(high, low)]) {
    expect(price).toEqual(rational(2n, 5n));
  }
});

describe('parseMaxPrice', () => {
  it.each([
    ['live', 'seconds'],
    ['lv2v', '720p-pixel-seconds'],
    ['fixed', 'fixed'],
  ])('of the payment type %s has the unit %s, in any case and with blanks', (type, unit) => {
    const maxPrice = { price: '1.5', currency: 'wei', unit };
    expect(parseMaxPrice(maxPrice, type)).toEqual(rational(3n, 2n));
    const loud = { price: '1.5', currency: ' WEI\n', unit: ` ${unit.toUpperCase()} ` };
    expect(parseMaxPrice(loud, type)).toEqual(rational(3n, 2n));
    for (const other of ['', `${unit}s`, 'hours', 'pixels']) {
      expect(parseMaxPrice({ ...maxPrice, unit: other }, type)).toEqual({
        code: 'MAX_PRICE_INVALID',
        data: { field: 'unit', type, unit },
      });
    }
  });

  it.each([
    ['price', { price: '0' }],
    ['price', { price: '-1' }],
    ['price', { price: '' }],
    ['currency', { currency: 'usd' }],
    ['currency', { currency: '' }],
  ])('names the field that is wrong: %s', (field, changes) => {
    const maxPrice = { price: '1', currency: 'wei', unit: 'seconds', ...changes };
    expect(parseMaxPrice(maxPrice, 'live')).toEqual({ code: 'MAX_PRICE_INVALID', data: { field } });
  });

  it.each(['constructor', '__proto__', 'toString', 'LIVE', ''])(
    'refuses the payment type %j',
    (type) => {
      const parsed = parseMaxPrice({ price: '1', currency: 'wei', unit: 'seconds' }, type);
      expect(parsed).toEqual({ code: 'MAX_PRICE_INVALID', data: { field: 'type' } });
    },
  );
});
