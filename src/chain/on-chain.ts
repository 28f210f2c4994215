import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError, isSignerError } from '../errors.ts';
import type { Address } from '../pm/bytes.ts';
import type { Rational } from '../pm/rational.ts';
import { ChainError, type ChainFacts, type ChainSource } from './facts.ts';
import { type RpcEndpoint, createRpcEndpoint } from './json-rpc.ts';
import { type PriceFeed, type PriceFeedSettings, createPriceFeed } from './price-feed.ts';
import {
  type ChainReader,
  type ChainView,
  WrongChainError,
  createChainReader,
} from './read-chain.ts';
import type { FeedBlock } from './read-price-feed.ts';

export type OnChainOptions = {
  readonly chainId: number;
  readonly controller: Address;
  readonly sender: Address;
  /** nodes of the chain; each is asked at every refresh, and the newest block counts */
  readonly rpcUrls: readonly string[];
  readonly refreshIntervalMs: number;
  /** the time for one answer of a node */
  readonly requestTimeoutMs: number;
  /** facts read longer ago than this are not used */
  readonly maxAgeMs: number;
  /** a node whose newest block is older than this is not believed */
  readonly maxBlockAgeMs: number;
  /** wei; a warning is logged when the deposit or the reserve is lower */
  readonly lowDeposit?: bigint | undefined;
  readonly lowReserve?: bigint | undefined;
  /** the source of the rate for amounts in USD: a feed or the configuration; there is none when left out */
  readonly exchangeRate?: PriceFeedSettings | { readonly weiPerUsd: Rational } | undefined;
  /** milliseconds that only grow, for the age of facts */
  readonly nowMs: () => number;
  /** called after each question to a node */
  readonly observe?: (isOk: boolean, ms: number) => void;
  readonly log: (
    level: 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
};

type Node = {
  readonly endpoint: RpcEndpoint;
  readonly reader: ChainReader;
  error: Error | undefined;
};

/** The view of the chain that is believed: one node's view, and when the node was asked for it. */
type Believed = { readonly view: ChainView; readonly askedAtMs: number; readonly node: Node };

/** The pause between two attempts to get the first facts. */
const startRetryMs = 500;

/**
 * Facts from the contracts, read in the background: `currentFacts` never waits. Resolves with the first facts. Throws
 * `CONFIG_INVALID` when a node is of another chain, or when no node has the Livepeer contracts, and `CHAIN_FACTS_UNAVAILABLE`
 * when no node has given usable facts by the time the signal is aborted.
 *
 * Each node is asked independently, so that a slow or failing one delays nothing. Facts are replaced by those of the same or a
 * newer block: a node that lags or goes back is ignored for as long as the newer facts may be used.
 */
export async function openOnChainSource(
  options: OnChainOptions,
  signal: AbortSignal,
): Promise<ChainSource> {
  const { log, maxAgeMs, lowDeposit, lowReserve, nowMs } = options;
  const closed = new AbortController();
  const nodes = options.rpcUrls.map((url, index): Node => {
    const name = `chain.rpcUrls.${index}`;
    const endpoint = createRpcEndpoint({ name, url, timeoutMs: options.requestTimeoutMs });
    return { endpoint, reader: createChainReader(endpoint, options), error: undefined };
  });
  const rate = openExchangeRate(options);

  async function ask(node: Node): Promise<Believed | undefined> {
    const askedAtMs = nowMs();
    try {
      const view = await node.reader.read(closed.signal);
      requireNewBlock(node.endpoint.name, view, options.maxBlockAgeMs);
      options.observe?.(true, nowMs() - askedAtMs);
      report(node, undefined);
      return { view, askedAtMs, node };
    } catch (error) {
      if (!isSignerError(error)) throw error;
      if (closed.signal.aborted) return undefined;
      options.observe?.(false, nowMs() - askedAtMs);
      report(node, error);
      return undefined;
    }
  }

  function report(node: Node, error: Error | undefined): void {
    if (error?.message === node.error?.message) return;
    node.error = error;
    if (error) log('warn', 'a chain node is not usable', { reason: error.message });
    else log('info', 'a chain node is usable again', { node: node.endpoint.name });
  }

  function warnWhenLow(before: ChainView['facts'] | undefined, now: ChainView['facts']): void {
    const thresholds = { deposit: lowDeposit, reserve: lowReserve };
    for (const what of ['deposit', 'reserve'] as const) {
      const threshold = thresholds[what];
      const isLow = isBelow(now[what], threshold);
      if (isLow === isBelow(before?.[what], threshold)) continue;
      const fields = { wei: now[what].toString(), threshold_wei: threshold?.toString() };
      if (isLow) log('warn', `the ${what} is low: fund it`, fields);
      else log('info', `the ${what} is no longer low`, fields);
    }
  }

  async function readRate({ endpoint }: Node, answer: Believed | undefined): Promise<void> {
    if (answer) await rate.feed?.readFrom(endpoint, blockOf(answer), closed.signal);
  }

  async function readFirst(): Promise<Believed> {
    for (;;) {
      const answers = await Promise.all(nodes.map(ask));
      const wrongChain = nodes.find(({ error }) => error instanceof WrongChainError);
      if (wrongChain?.error) throw wrongChain.error;
      const [first, ...others] = answers.filter((answer) => answer !== undefined);
      if (first) await Promise.all(nodes.map((node, index) => readRate(node, answers[index])));
      if (first) return others.reduce((newest, other) => newerOf(newest, other), first);
      const misconfigured = nodes.find(({ error }) => error instanceof ConfigError);
      if (misconfigured?.error) throw misconfigured.error;
      if (!(await wait(startRetryMs, signal))) {
        throw new ChainError(
          'CHAIN_FACTS_UNAVAILABLE',
          `no node gave usable facts: ${describeProblems(nodes)}`,
          { retryable: true },
        );
      }
    }
  }

  let believed = await readFirst();
  warnWhenLow(undefined, believed.view.facts);

  const currentFacts = (): ChainFacts => ({
    ...believed.view.facts,
    weiPerUsd: rate.current(),
  });
  const ageMs = (): number => nowMs() - believed.askedAtMs;

  async function keepAsking(node: Node): Promise<void> {
    while (await wait(options.refreshIntervalMs, closed.signal)) {
      const answer = await ask(node);
      if (!answer) continue;
      const before = believed.view.facts;
      believed = ageMs() > maxAgeMs ? answer : newerOf(believed, answer);
      warnWhenLow(before, believed.view.facts);
      await readRate(node, answer);
    }
  }
  for (const node of nodes) void keepAsking(node);

  return {
    chainId: options.chainId,
    ticketBroker: believed.view.ticketBroker,
    currentFacts() {
      if (ageMs() <= maxAgeMs) return currentFacts();
      throw new ChainError(
        'CHAIN_FACTS_UNAVAILABLE',
        `the chain was last read ${Math.round(ageMs() / 1000)} s ago, longer than chain.maxAgeMs allows`,
        { retryable: true, details: describeProblems(nodes) },
      );
    },
    currentRate: () => rate.current(),
    status() {
      const facts = currentFacts();
      return {
        isFresh: ageMs() <= maxAgeMs,
        ageMs: ageMs(),
        facts,
        priceFeed: rate.feed?.status(),
        isDepositLow: isBelow(facts.deposit, lowDeposit),
        isReserveLow: isBelow(facts.reserve, lowReserve),
        nodes: nodes.map(({ endpoint, error }) => ({
          name: endpoint.name,
          problem: error?.message,
        })),
      };
    },
    close: () => closed.abort(),
  };
}

function openExchangeRate({ exchangeRate, nowMs, log }: OnChainOptions): {
  readonly feed?: PriceFeed;
  readonly current: () => Rational | undefined;
} {
  if (!exchangeRate) return { current: () => undefined };
  if ('weiPerUsd' in exchangeRate) return { current: () => exchangeRate.weiPerUsd };
  const feed = createPriceFeed({ ...exchangeRate, nowMs, log });
  return { feed, current: () => feed.current() };
}

function blockOf({ view }: Believed): FeedBlock {
  return { hash: view.blockHash, time: view.blockTime };
}

/**
 * The view of the later block; for the same block the one that was asked for later. A node may answer the calls of one request at
 * different moments, so its facts may be of a later block than the one it reports. Where two nodes disagree about a block, the
 * one that is believed stays believed, and reports the next block itself.
 */
function newerOf(before: Believed, answer: Believed): Believed {
  if (answer.view.blockNumber < before.view.blockNumber) return before;
  const isSameBlock = answer.view.blockNumber === before.view.blockNumber;
  if (isSameBlock && answer.node !== before.node && !haveSameFacts(before, answer)) return before;
  return { ...answer, askedAtMs: Math.max(answer.askedAtMs, before.askedAtMs) };
}

function haveSameFacts(one: Believed, other: Believed): boolean {
  return isDeepStrictEqual(one.view.facts, other.view.facts);
}

function describeProblems(nodes: readonly Node[]): string {
  return nodes.flatMap(({ error }) => (error ? [error.message] : [])).join('; ');
}

/** Whether the time has passed; false when the signal was aborted before. */
async function wait(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

function requireNewBlock(name: string, { blockTime }: ChainView, maxBlockAgeMs: number): void {
  if (BigInt(Date.now()) - blockTime * 1000n <= BigInt(maxBlockAgeMs)) return;
  throw new ChainError(
    'CHAIN_FACTS_UNAVAILABLE',
    `${name} has seen no new block for longer than chain.maxBlockAgeMs allows`,
    { retryable: true },
  );
}

function isBelow(amount: bigint | undefined, threshold: bigint | undefined): boolean {
  return amount !== undefined && threshold !== undefined && amount < threshold;
}
