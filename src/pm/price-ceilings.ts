import { type PaymentType, type Price, priceRatio } from './billing.ts';
import { type Rational, compare, max, parseRational } from './rational.ts';
import type { CeilingSource, Refusal, RefusalOf } from './refusal.ts';

/** wei per billing unit; undefined when this source names no ceiling */
export type PriceCeiling = {
  readonly source: CeilingSource;
  readonly maximum: Rational | undefined;
};

/**
 * The price that is compared with ceilings, in wei per unit: the larger of the orchestrator's present price and the session's
 * first price, which its fees are computed with. Both must be positive.
 */
export function judgedPrice(quoted: Price, initial: Price): Rational {
  return max(priceRatio(quoted), priceRatio(initial));
}

/**
 * Refuses a price (wei per unit) above the smallest ceiling; of equal ceilings the refusal names the first. A price equal to the
 * ceiling passes.
 */
export function refusePriceAboveCeilings(
  price: Rational,
  ceilings: readonly PriceCeiling[],
): Refusal | undefined {
  let lowest: { source: CeilingSource; maximum: Rational } | undefined;
  for (const { source, maximum } of ceilings) {
    if (maximum && (!lowest || compare(maximum, lowest.maximum) < 0)) lowest = { source, maximum };
  }
  if (!lowest || compare(price, lowest.maximum) <= 0) return undefined;
  return {
    code: 'PRICE_ABOVE_CEILING',
    data: { actual: price, ...lowest },
  };
}

/** A price ceiling as a client or the auth webhook writes it. */
export type MaxPrice = {
  /** decimal text, wei per unit */
  readonly price: string;
  readonly currency: string;
  readonly unit: string;
};

const unitOfType: ReadonlyMap<string, string> = new Map<PaymentType, string>([
  ['live', 'seconds'],
  ['lv2v', '720p-pixel-seconds'],
  ['fixed', 'fixed'],
]);

/** The ceiling in wei per unit, or why it can't be used with this payment type. */
export function parseMaxPrice(maxPrice: MaxPrice, type: string): Rational | Refusal {
  const refuse = (data: RefusalOf<'MAX_PRICE_INVALID'>['data']): Refusal => ({
    code: 'MAX_PRICE_INVALID',
    data,
  });
  const price = parseRational(maxPrice.price);
  if (!price || price.numerator <= 0n) return refuse({ field: 'price' });
  if (maxPrice.currency.trim().toLowerCase() !== 'wei') {
    return refuse({ field: 'currency' });
  }
  const unit = unitOfType.get(type);
  if (unit === undefined) return refuse({ field: 'type' });
  if (maxPrice.unit.trim().toLowerCase() !== unit) {
    return refuse({ field: 'unit', type, unit });
  }
  return price;
}
