import type { PaymentType } from '../pm/billing.ts';
import { type Rational, compare, max } from '../pm/rational.ts';
import type { Money } from '../pm/usd.ts';
import { liveVideoToVideo } from './pipelines.ts';

/** A capability number and model id that a request names. */
export type CapabilityModel = { readonly capability: number; readonly model: string };

/** Ceilings by payment type, per billing unit; a type that is absent has none. */
export type CeilingsByType = Readonly<Partial<Record<Exclude<PaymentType, ''>, Money | undefined>>>;

/** The configured ceiling for one capability and model; `default` covers the capability's other models. */
export type CapabilityCeiling = CapabilityModel & { readonly maximum: CeilingsByType };

/** The operator's price ceilings. */
export type PriceList = {
  readonly byType: CeilingsByType;
  readonly byCapability: readonly CapabilityCeiling[];
};

/**
 * The configured ceiling for a request, in wei per billing unit; undefined for none. It is the largest entry among the
 * capabilities and models that the request names, never a sum, which the caller could choose; where no entry matches, it is the
 * payment type's own. `lv2v` pays only for live-video-to-video, so no other capability's entry counts for it. A payment without a
 * type is held to the lowest ceiling of all. `inWei` is called only for amounts that count, and may throw.
 */
export function configuredCeiling(
  prices: PriceList,
  type: PaymentType,
  models: readonly CapabilityModel[],
  inWei: (amount: Money) => Rational,
): Rational | undefined {
  if (type === '') return lowestCeiling(prices, inWei);
  const isRelevant = ({ capability }: CapabilityModel) =>
    type !== 'lv2v' || capability === liveVideoToVideo;
  const find = (capability: number, model: string) =>
    prices.byCapability.find(
      (entry) =>
        entry.capability === capability &&
        entry.model === model &&
        entry.maximum[type] !== undefined,
    );
  const matches = models
    .filter(isRelevant)
    .map(({ capability, model }) => find(capability, model) ?? find(capability, 'default'))
    .map((entry) => entry?.maximum[type])
    .filter((maximum) => maximum !== undefined);
  if (matches.length > 0) return matches.map(inWei).reduce(max);
  const own = prices.byType[type];
  return own && inWei(own);
}

function lowestCeiling(
  { byType, byCapability }: PriceList,
  inWei: (amount: Money) => Rational,
): Rational | undefined {
  const all = [byType, ...byCapability.map(({ maximum }) => maximum)].flatMap((ceilings) =>
    Object.values(ceilings),
  );
  return all
    .filter((maximum) => maximum !== undefined)
    .map(inWei)
    .toSorted(compare)[0];
}
