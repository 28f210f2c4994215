import { z } from 'zod';
import { arbitrumOneChainId } from '../chain/arbitrum-one.ts';
import { address, milliseconds, pipeline, price, priceOf, rate } from './fields.ts';

const capabilityPrice = z.strictObject({
  pipeline,
  model: z.string().min(1).default('default'),
  /** in US dollars per hour for `lv2v` and `live`, per request for `fixed` */
  maxPrice: price,
});

const priceFeed = z
  .strictObject({
    /** a Chainlink feed of ETH and USD; by default that of Arbitrum One */
    address: address.optional(),
    /** milliseconds since the feed was updated */
    maxAgeMs: z.int().positive().default(7_200_000),
    refreshIntervalMs: milliseconds.default(300_000),
    /** the rate itself, instead of a feed */
    weiPerUsd: rate.optional(),
  })
  .refine((feed) => feed.address === undefined || feed.weiPerUsd === undefined, {
    path: ['weiPerUsd'],
    message: 'expected either address or weiPerUsd',
  });

/** Price ceilings, and what US dollars are worth. */
export const prices = z.strictObject({
  /** per pixel, second or request */
  maxPrice: z
    .strictObject({
      lv2v: priceOf('lv2v').optional(),
      live: priceOf('live').optional(),
      fixed: priceOf('fixed').optional(),
    })
    .prefault({}),
  capabilities: z.array(capabilityPrice).default([]),
  feed: priceFeed.optional(),
});

type PriceSettings = {
  readonly prices: z.output<typeof prices>;
  readonly chain: { readonly source: 'static' | 'on-chain'; readonly chainId: number };
  readonly session: { readonly fields: 'extended' | 'upstream' };
};

/** Amounts in USD need a rate, and states that remember it. */
export function refuseUsdWithoutRate(
  { prices: { maxPrice, capabilities, feed }, chain, session }: PriceSettings,
  context: z.RefinementCtx,
): void {
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const amounts = [...Object.values(maxPrice), ...capabilities.map((entry) => entry.maxPrice)];
  if (amounts.some((amount) => amount !== undefined && 'usd' in amount)) {
    if (!feed) refuse(['prices', 'feed'], 'missing; amounts in USD need it');
    if (session.fields === 'upstream') {
      refuse(
        ['session', 'fields'],
        'expected extended: the rate at which a session began, which ceilings in USD go by, is in its state',
      );
    }
  }
  if (!feed || feed.weiPerUsd) return;
  if (chain.source === 'static') {
    refuse(['prices', 'feed', 'weiPerUsd'], 'missing; with static facts no feed is read');
  } else if (!feed.address && chain.chainId !== arbitrumOneChainId) {
    refuse(
      ['prices', 'feed', 'address'],
      `missing; only the feed of Arbitrum One (${arbitrumOneChainId}) is known here`,
    );
  }
}
