import { arbitrumOnePriceFeed } from '../chain/arbitrum-one.ts';
import type { ChainSource } from '../chain/facts.ts';
import type { OnChainOptions } from '../chain/on-chain.ts';
import { createStaticChain } from '../chain/static.ts';
import type { TicketBrokerClient } from '../chain/ticket-broker.ts';
import type { Config } from '../config/load.ts';
import { readRpcUrls } from '../config/secret-urls.ts';
import { ConfigError } from '../errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Address } from '../pm/bytes.ts';

/** The TicketBroker of the configured chain. Throws `ConfigError` and `ChainError`. */
export async function openTicketBroker({
  settings: { chain },
  resolvePath,
}: Config): Promise<TicketBrokerClient> {
  if (chain.source === 'on-chain') {
    // loaded only where a chain is read: viem takes half as long to load as everything else
    const { connectTicketBroker } = await import('../chain/ticket-broker.ts');
    return connectTicketBroker({ ...chain, rpcUrls: readRpcUrls(chain.rpcUrls, resolvePath) });
  }
  throw new ConfigError(
    'CONFIG_INVALID',
    `chain.source is ${chain.source}: the deposit lies on a chain, so configure on-chain with rpcUrls`,
  );
}

/**
 * Opens the view of the chain; `nowMs` is a monotonic clock in milliseconds. Throws `CONFIG_INVALID`, and
 * `CHAIN_FACTS_UNAVAILABLE` when the first facts can't be had.
 */
export async function openChain(
  { settings: { chain, prices }, resolvePath }: Config,
  sender: Address,
  logger: Logger,
  nowMs: () => number,
  metrics: Pick<Metrics, 'dependencyAsked'>,
  signal: AbortSignal,
): Promise<ChainSource> {
  if (chain.source === 'on-chain') {
    const rpcUrls = readRpcUrls(chain.rpcUrls, resolvePath);
    const log: OnChainOptions['log'] = (level, message, fields) => logger[level](fields, message);
    const observe: OnChainOptions['observe'] = (isOk, ms) =>
      metrics.dependencyAsked('chain', isOk, ms / 1000);
    const { openOnChainSource } = await import('../chain/on-chain.ts');
    return openOnChainSource(
      { ...chain, rpcUrls, sender, exchangeRate: exchangeRateOf(prices), log, nowMs, observe },
      signal,
    );
  }
  const { l1Block, round, roundBlockHash: blockHash, deposit, reserve, withdrawRound } = chain;
  const lastInitializedRound = { round, blockHash };
  return createStaticChain({
    chainId: chain.chainId,
    ticketBroker: chain.ticketBroker,
    facts: {
      l1Block,
      round,
      deposit,
      reserve,
      claimedInRound: 0n,
      withdrawRound,
      lastInitializedRound,
      weiPerUsd: prices.feed?.weiPerUsd,
    },
  });
}

function exchangeRateOf({ feed }: Config['settings']['prices']): OnChainOptions['exchangeRate'] {
  if (!feed) return undefined;
  const { weiPerUsd, address = arbitrumOnePriceFeed, ...reading } = feed;
  return weiPerUsd ? { weiPerUsd } : { ...reading, address };
}
