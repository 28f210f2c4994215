import type { Address } from '../pm/bytes.ts';
import { type Rational, compare, scale, subtract } from '../pm/rational.ts';
import { ChainError, type PriceFeedStatus } from './facts.ts';
import type { RpcEndpoint } from './json-rpc.ts';
import { type FeedAnswer, type FeedBlock, readPriceFeed } from './read-price-feed.ts';

export type PriceFeedSettings = {
  readonly address: Address;
  /** milliseconds since the feed was updated; an older answer gives no rate */
  readonly maxAgeMs: number;
  /**
   * the pause between two readings by one node; after a failed one the node is asked with the next refresh of the chain's facts
   */
  readonly refreshIntervalMs: number;
};

export type PriceFeedOptions = PriceFeedSettings & {
  /** milliseconds that only grow, for the pauses */
  readonly nowMs: () => number;
  readonly log: (
    level: 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

/** A price feed that is read through several nodes, and the answer that is believed. */
export type PriceFeed = {
  /** wei per USD; undefined while no answer is new enough */
  current(): Rational | undefined;
  status(): PriceFeedStatus;
  /** Reads the feed through a node when it is due; each problem is logged once. */
  readFrom(endpoint: RpcEndpoint, block: FeedBlock, signal: AbortSignal): Promise<void>;
};

/** How far ether's price may be from the last one, in percent of that. */
const jumpPercent = 30n;

/**
 * Keeps the newest answer. An answer that differs by more than 30 % from a rate that is still valid is rejected; once that rate
 * is too old, the next answer is accepted as it is.
 */
export function createPriceFeed({
  address,
  maxAgeMs,
  refreshIntervalMs,
  nowMs,
  log,
}: PriceFeedOptions): PriceFeed {
  const dueAtMs = new Map<string, number>();
  const problems = new Map<string, string>();
  let believed: FeedAnswer | undefined;
  let problem: string | undefined;

  const ageMs = ({ updatedAt }: FeedAnswer): number =>
    Math.max(0, Date.now() - Number(updatedAt) * 1000);
  const isFresh = (answer: FeedAnswer): boolean => ageMs(answer) <= maxAgeMs;

  /** Accepts an answer, or tells why it is rejected. */
  function takeUp(node: string, answer: FeedAnswer): string | undefined {
    if (believed && answer.updatedAt < believed.updatedAt) return undefined;
    if (!isFresh(answer)) {
      return `${node}: the price feed was updated longer ago than prices.feed.maxAgeMs allows`;
    }
    if (believed && isFresh(believed) && isJump(believed.weiPerUsd, answer.weiPerUsd)) {
      return `${node}: the price feed moved by more than ${jumpPercent} % at once; its last rate is kept for as long as it holds`;
    }
    believed = answer;
    return undefined;
  }

  function report(node: string, now: string | undefined): void {
    problem = now;
    if (problems.get(node) === now) return;
    if (now === undefined) {
      problems.delete(node);
      log('info', 'the price feed is usable again', { node });
    } else {
      problems.set(node, now);
      log('warn', 'the price feed is not usable', { reason: now });
    }
  }

  return {
    current: () => (believed && isFresh(believed) ? believed.weiPerUsd : undefined),
    status: () => ({
      isFresh: believed !== undefined && isFresh(believed),
      answer: believed && { ...believed, ageMs: ageMs(believed) },
      problem,
    }),
    async readFrom(endpoint, block, signal) {
      const askedAtMs = nowMs();
      if (askedAtMs < (dueAtMs.get(endpoint.name) ?? 0)) return;
      let now: string | undefined;
      try {
        now = takeUp(endpoint.name, await readPriceFeed(endpoint, address, block, signal));
      } catch (error) {
        if (!(error instanceof ChainError)) throw error;
        if (signal.aborted) return;
        now = error.message;
      }
      dueAtMs.set(endpoint.name, now === undefined ? askedAtMs + refreshIntervalMs : 0);
      report(endpoint.name, now);
    },
  };
}

/** Whether the price of ether, which is the inverse of the rate, differs by more than the bound. */
function isJump(before: Rational, after: Rational): boolean {
  const from = invert(before);
  const difference = subtract(invert(after), from);
  const { numerator, denominator } = difference;
  const distance = { numerator: numerator < 0n ? -numerator : numerator, denominator };
  return compare(scale(distance, 100n), scale(from, jumpPercent)) > 0;
}

function invert({ numerator, denominator }: Rational): Rational {
  return { numerator: denominator, denominator: numerator };
}
