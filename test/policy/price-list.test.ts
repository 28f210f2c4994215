import { describe, expect, it } from 'vitest';
import { rational } from '../../src/pm/rational.ts';
import { type PriceList, configuredCeiling } from '../../src/policy/price-list.ts';
import { fc } from '../support/fast-check.ts';

const wei = (value: number) => rational(BigInt(value));

const prices: PriceList = {
  byType: { lv2v: wei(1), live: wei(2), fixed: wei(3) },
  byCapability: [
    { capability: 35, model: 'default', maximum: wei(100) },
    { capability: 35, model: 'noop', maximum: wei(50) },
    { capability: 35, model: 'large', maximum: wei(900) },
    { capability: 33, model: 'llama', maximum: wei(400) },
  ],
};

describe('configuredCeiling', () => {
  it.each([
    ['lv2v', 1],
    ['live', 2],
    ['fixed', 3],
  ] as const)('is the type’s own for %s when no model is named', (type, maximum) => {
    expect(configuredCeiling(prices, type, [])).toEqual(wei(maximum));
  });

  it('is none for a type and models that nothing is configured for', () => {
    for (const type of ['lv2v', ''] as const) {
      expect(configuredCeiling({ byType: {}, byCapability: [] }, type, [])).toBeUndefined();
    }
    expect(configuredCeiling({ ...prices, byType: { live: wei(2) } }, 'lv2v', [])).toBeUndefined();
  });

  it.each([
    [{ byType: { lv2v: wei(7), live: wei(2), fixed: undefined }, byCapability: [] }, 2],
    [{ byType: {}, byCapability: prices.byCapability }, 50],
    [{ byType: { fixed: wei(60) }, byCapability: prices.byCapability }, 50],
    [prices, 1],
  ])('is the lowest of all without a type, whatever is named: case %#', (list, lowest) => {
    const named = [[], [{ capability: 35, model: 'large' }], [{ capability: 33, model: 'llama' }]];
    for (const models of named) {
      expect(configuredCeiling(list, '', models)).toEqual(wei(lowest));
    }
  });

  it('is the entry of the capability and model, though it is lower than the default', () => {
    expect(configuredCeiling(prices, 'lv2v', [{ capability: 35, model: 'noop' }])).toEqual(wei(50));
  });

  it('is the capability’s default for a model without an entry', () => {
    expect(configuredCeiling(prices, 'lv2v', [{ capability: 35, model: 'new' }])).toEqual(wei(100));
  });

  it('is the type’s own where the capability has neither entry nor default', () => {
    expect(configuredCeiling(prices, 'fixed', [{ capability: 33, model: 'other' }])).toEqual(
      wei(3),
    );
    expect(configuredCeiling(prices, 'live', [{ capability: 7, model: 'llama' }])).toEqual(wei(2));
  });

  const several = [
    { capability: 35, model: 'noop' },
    { capability: 33, model: 'llama' },
    { capability: 35, model: 'new' },
    { capability: 9, model: 'unknown' },
  ];

  it.each(['live', 'fixed'] as const)(
    'is the largest entry of several, and never their sum, for the type %j',
    (type) => {
      expect(configuredCeiling(prices, type, several)).toEqual(wei(400));
      expect(configuredCeiling(prices, type, several.toReversed())).toEqual(wei(400));
    },
  );

  it('is that of live-video-to-video alone for lv2v, which another capability can’t raise', () => {
    expect(configuredCeiling(prices, 'lv2v', several)).toEqual(wei(100));
    const others = several.filter(({ capability }) => capability !== 35);
    expect(configuredCeiling(prices, 'lv2v', others)).toEqual(wei(1));
  });

  it('can’t be raised by naming a model many times', () => {
    const models = Array.from({ length: 50 }, () => ({ capability: 35, model: 'noop' }));
    expect(configuredCeiling(prices, 'lv2v', models)).toEqual(wei(50));
  });

  it('is always the largest of the ceilings that the models have one by one', () => {
    const model = fc.record({
      capability: fc.constantFrom(33, 35, 36),
      model: fc.constantFrom('default', 'noop', 'large', 'llama', 'other'),
    });
    const types = fc.constantFrom('lv2v' as const, 'live' as const, 'fixed' as const);
    const own = { lv2v: 1n, live: 2n, fixed: 3n };
    fc.assert(
      fc.property(types, fc.array(model, { maxLength: 8 }), (type, models) => {
        const ceiling = configuredCeiling(prices, type, models)?.numerator;
        const matches = models
          .map((one) => configuredCeiling(prices, type, [one])?.numerator ?? 0n)
          .filter((single) => single !== own[type]);
        const largest = matches.reduce((a, b) => (b > a ? b : a), 0n);
        expect(ceiling).toBe(matches.length > 0 ? largest : own[type]);
      }),
    );
  });
});
