import type { PaymentType } from '../pm/billing.ts';
import { type Rational, compare, max } from '../pm/rational.ts';
import { liveVideoToVideo } from './pipelines.ts';

/** A capability number and model id that a request names. */
export type CapabilityModel = { readonly capability: number; readonly model: string };

/** A configured ceiling for one capability and model; `default` stands for the capability's other models. */
export type CapabilityCeiling = CapabilityModel & {
  /** wei per billing unit */
  readonly maximum: Rational;
};

/** The operator's price ceilings, wei per billing unit; what is absent has none. */
export type PriceList = {
  readonly byType: Readonly<Partial<Record<Exclude<PaymentType, ''>, Rational | undefined>>>;
  readonly byCapability: readonly CapabilityCeiling[];
};

/**
 * The configured ceiling for a request: the largest entry among the capabilities and models it names, never a sum that
 * the caller could choose; the payment type's own where no entry matches; undefined for none. `lv2v` pays for
 * live-video-to-video alone, so no other capability's entry counts for it. A payment without a type is held to the lowest
 * ceiling of all.
 */
export function configuredCeiling(
  prices: PriceList,
  type: PaymentType,
  models: readonly CapabilityModel[],
): Rational | undefined {
  if (type === '') return lowestCeiling(prices);
  const isRelevant = ({ capability }: CapabilityModel) =>
    type !== 'lv2v' || capability === liveVideoToVideo;
  const find = (capability: number, model: string) =>
    prices.byCapability.find((entry) => entry.capability === capability && entry.model === model);
  const matches = models
    .filter(isRelevant)
    .map(({ capability, model }) => find(capability, model) ?? find(capability, 'default'))
    .filter((entry) => entry !== undefined)
    .map((entry) => entry.maximum);
  return matches.length > 0 ? matches.reduce(max) : prices.byType[type];
}

function lowestCeiling({ byType, byCapability }: PriceList): Rational | undefined {
  const all = [...Object.values(byType), ...byCapability.map(({ maximum }) => maximum)];
  return all.filter((maximum) => maximum !== undefined).toSorted(compare)[0];
}
