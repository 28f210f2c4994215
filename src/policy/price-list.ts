import type { PaymentType } from '../pm/billing.ts';
import { type Rational, max } from '../pm/rational.ts';
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
  readonly byType: Readonly<Partial<Record<PaymentType, Rational | undefined>>>;
  readonly byCapability: readonly CapabilityCeiling[];
};

/**
 * The configured ceiling for a request: the largest entry among the capabilities and models it names, never a sum that
 * the caller could choose; the payment type's own where no entry matches; undefined for none. `lv2v` pays for
 * live-video-to-video alone, so no other capability's entry counts for it.
 */
export function configuredCeiling(
  prices: PriceList,
  type: PaymentType,
  models: readonly CapabilityModel[],
): Rational | undefined {
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
