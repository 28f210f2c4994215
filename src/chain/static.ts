import type { ChainFacts, ChainFactsSource } from './facts.ts';

/** Facts from the configuration that never change: for development without a chain. */
export function createStaticChain(facts: ChainFacts): ChainFactsSource {
  return { currentFacts: () => facts };
}
