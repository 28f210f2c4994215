import { describe, expect, it } from 'vitest';
import type { PaymentType } from '../../src/pm/billing.ts';
import { type Rational, rational } from '../../src/pm/rational.ts';
import { requireWei } from '../../src/policy/exchange-rate.ts';
import {
  type CapabilityModel,
  type PriceList,
  configuredCeiling as ceilingInWei,
} from '../../src/policy/price-list.ts';
import { fc } from '../support/fast-check.ts';

const wei = (value: number) => rational(BigInt(value));
/** the same for each type, as prices in wei are */
const all = (value: number) => ({ lv2v: wei(value), live: wei(value), fixed: wei(value) });

/** wei per USD, of an ether at 3,200 USD */
const weiPerUsd = rational(10n ** 18n, 3_200n);

function configuredCeiling(
  list: PriceList,
  type: PaymentType,
  models: readonly CapabilityModel[],
  rate: Rational | undefined = weiPerUsd,
): Rational | undefined {
  const ceiling = ceilingInWei(list, type, models, (amount) => requireWei(amount, rate));
  return ceiling && rational(ceiling.numerator, ceiling.denominator);
}

const prices: PriceList = {
  byType: { lv2v: wei(1), live: wei(2), fixed: wei(3) },
  byCapability: [
    { capability: 35, model: 'default', maximum: all(100) },
    { capability: 35, model: 'noop', maximum: all(50) },
    { capability: 35, model: 'large', maximum: all(900) },
    { capability: 33, model: 'llama', maximum: all(400) },
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

  describe('in USD', () => {
    const usd = (numerator: bigint, denominator = 1n) => ({
      usd: rational(numerator, denominator),
    });
    const list: PriceList = {
      byType: { lv2v: usd(1n, 10n ** 11n), live: usd(1n, 1_000n), fixed: wei(3) },
      byCapability: [
        {
          capability: 35,
          model: 'noop',
          maximum: { lv2v: usd(2n, 10n ** 11n), live: usd(1n, 3n) },
        },
        { capability: 35, model: 'noop', maximum: { fixed: usd(7n) } },
        { capability: 33, model: 'default', maximum: all(5) },
      ],
    };
    const noop = [{ capability: 35, model: 'noop' }];

    it('is worth what the rate says, exactly', () => {
      expect(configuredCeiling(list, 'lv2v', [])).toEqual(wei(3_125));
      expect(configuredCeiling(list, 'live', noop)).toEqual(rational(10n ** 18n, 9_600n));
      expect(configuredCeiling(list, 'live', [], rational(10n ** 18n, 7n))).toEqual(
        rational(10n ** 15n, 7n),
      );
    });

    it('counts for the payment types that it is written for', () => {
      expect(configuredCeiling(list, 'fixed', noop)).toEqual(rational(7n * 10n ** 18n, 3_200n));
      const hourlyOnly = { ...list, byCapability: list.byCapability.slice(0, 1) };
      expect(configuredCeiling(hourlyOnly, 'fixed', noop)).toEqual(wei(3));
    });

    it('is the largest in wei of several, and the lowest in wei without a type', () => {
      const both = [...noop, { capability: 33, model: 'x' }];
      expect(configuredCeiling(list, 'live', both)).toEqual(rational(10n ** 18n, 9_600n));
      expect(configuredCeiling(list, 'live', both, wei(1))).toEqual(wei(5));
      expect(configuredCeiling(list, '', [])).toEqual(wei(3));
      expect(configuredCeiling(list, '', [], rational(10n ** 11n))).toEqual(wei(1));
    });

    it('is unknown without a rate, where it counts and nowhere else', () => {
      const withoutRate = (type: PaymentType, models: readonly CapabilityModel[]) =>
        ceilingInWei(list, type, models, (amount) => requireWei(amount, undefined));
      expect(withoutRate('fixed', [])).toEqual(wei(3));
      expect(withoutRate('live', [{ capability: 33, model: 'x' }])).toEqual(wei(5));
      for (const ask of [
        () => withoutRate('lv2v', []),
        () => withoutRate('fixed', noop),
        () => withoutRate('', []),
      ]) {
        expect(ask).toThrow(expect.objectContaining({ code: 'PRICE_FEED_UNAVAILABLE' }));
      }
    });
  });
});
