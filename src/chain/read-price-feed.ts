import type { Address } from '../pm/bytes.ts';
import { type Rational, compare, rational } from '../pm/rational.ts';
import { decode, toCall } from './contract-calls.ts';
import { ChainError } from './facts.ts';
import type { RpcEndpoint } from './json-rpc.ts';
import { type RoundData, decimals, description, latestRoundData } from './price-feed-contract.ts';

/** The answer of a price feed at one block. */
export type FeedAnswer = {
  readonly weiPerUsd: Rational;
  /** Unix seconds */
  readonly updatedAt: bigint;
  readonly round: bigint;
};

/** The block at which everything of a feed is read. */
export type FeedBlock = {
  /** `0x` and 64 hex digits */
  readonly hash: string;
  /** Unix seconds */
  readonly time: bigint;
};

const weiPerEther = 10n ** 18n;

/** The prices of ether, in US dollars, that are believed. A feed beyond them is broken, and would make ceilings meaningless. */
const leastUsdPerEther = 1n;
const mostUsdPerEther = 1_000_000n;

/**
 * Reads a Chainlink feed of ether and US dollars, the pair either way round, at one block. Throws `PRICE_FEED_UNAVAILABLE` when
 * the node does not answer, when there is no such contract, when it is of another pair, and when its round is not complete or not
 * credible.
 */
export async function readPriceFeed(
  endpoint: RpcEndpoint,
  feed: Address,
  block: FeedBlock,
  signal: AbortSignal,
): Promise<FeedAnswer> {
  const fail = (reason: string): ChainError =>
    new ChainError('PRICE_FEED_UNAVAILABLE', `${endpoint.name}: the price feed ${reason}`, {
      retryable: true,
    });
  const [pair, places, data] = await ask(endpoint, feed, block, signal).catch((cause: unknown) => {
    if (!(cause instanceof ChainError)) throw cause;
    throw fail(`can't be read: ${cause.message}`);
  });
  const problem = findProblem(data, block.time);
  if (problem !== undefined) throw fail(problem);
  const price = rational(data.answer, 10n ** BigInt(places));
  const weiPerUsd = toWeiPerUsd(pair, price);
  if (!weiPerUsd) throw fail('is of another pair than ETH / USD');
  const isBelievable =
    compare(weiPerUsd, rational(weiPerEther, leastUsdPerEther)) <= 0 &&
    compare(weiPerUsd, rational(weiPerEther, mostUsdPerEther)) >= 0;
  if (!isBelievable) {
    throw fail(
      `says that ether costs less than ${leastUsdPerEther} or more than ${mostUsdPerEther} USD`,
    );
  }
  return { weiPerUsd, updatedAt: data.updatedAt, round: data.roundId };
}

async function ask(
  endpoint: RpcEndpoint,
  feed: Address,
  { hash }: FeedBlock,
  signal: AbortSignal,
): Promise<readonly [pair: string, places: number, data: RoundData]> {
  const views = [description(feed), decimals(feed), latestRoundData(feed)] as const;
  const answers = await endpoint.call(
    views.map((view) => toCall(view, { blockHash: hash })),
    signal,
  );
  return [
    decode(endpoint, views[0], answers[0]),
    decode(endpoint, views[1], answers[1]),
    decode(endpoint, views[2], answers[2]),
  ];
}

function findProblem(
  { roundId, answer, updatedAt, answeredInRound }: RoundData,
  blockTime: bigint,
): string | undefined {
  if (roundId === 0n) return 'has no round';
  if (answer <= 0n) return 'has an answer that is not positive';
  if (updatedAt === 0n) return 'has a round that is not complete';
  if (updatedAt > blockTime) return 'was updated after the block it was read at';
  if (answeredInRound < roundId) return 'has an answer of an earlier round';
  return undefined;
}

/** wei per USD; undefined when the pair is not of ether and US dollars. */
function toWeiPerUsd(pair: string, { numerator, denominator }: Rational): Rational | undefined {
  switch (pair.replaceAll(/\s/g, '').toUpperCase()) {
    case 'ETH/USD':
      return rational(weiPerEther * denominator, numerator);
    case 'USD/ETH':
      return rational(weiPerEther * numerator, denominator);
    default:
      return undefined;
  }
}
