import type { Address } from '../pm/bytes.ts';

export const arbitrumOneChainId = 42_161;

/** Arbitrum's other public chains: Nova, Sepolia, and those that have ended, Rinkeby and Goerli. */
const otherArbitrumChainIds = [42_170, 421_614, 421_611, 421_613];

/** Whether the chain's blocks carry the L1 block number that contracts go by. */
export function isArbitrum(chainId: number): boolean {
  return chainId === arbitrumOneChainId || otherArbitrumChainIds.includes(chainId);
}

/** The Controller on Arbitrum One, which knows the addresses of the other contracts. */
export const arbitrumOneController = '0xd8e8328501e9645d16cf49539efc04f734606ee4' as Address;

/** Chainlink's feed of ETH / USD on Arbitrum One. */
export const arbitrumOnePriceFeed = '0x639fe6ab55c921f74e7fac1ee960c0b6293ba612' as Address;

/** The TicketBroker on Arbitrum One, as its Controller names it. */
export const arbitrumOneTicketBroker = '0xa8bb618b1520e284046f3dfc448851a1ff26e41b' as Address;
