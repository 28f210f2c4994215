import type { Address } from '../pm/bytes.ts';
import type { ChainFacts, ChainSource } from './facts.ts';

export type StaticChainOptions = {
  readonly chainId: number;
  readonly ticketBroker: Address;
  readonly facts: ChainFacts;
};

/** Facts from the configuration that never change: for development without a chain. */
export function createStaticChain({ facts, ...deposit }: StaticChainOptions): ChainSource {
  return {
    ...deposit,
    currentFacts: () => facts,
    currentRate: () => facts.weiPerUsd,
    status: () => undefined,
    close: () => undefined,
  };
}
