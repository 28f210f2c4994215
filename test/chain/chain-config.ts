import type { Anvil } from '../support/anvil.ts';
import type { LivepeerContracts } from '../support/livepeer-contracts.ts';

/** The `chain` section of a configuration for a chain of the tests. */
export function chainSection(
  { url, chainId }: Pick<Anvil, 'url' | 'chainId'>,
  { controller }: Pick<LivepeerContracts, 'controller'>,
): string {
  return `chain:
  source: on-chain
  chainId: ${chainId}
  controller: "${controller}"
  rpcUrls: ["${url}"]
  refreshIntervalMs: 200
`;
}
