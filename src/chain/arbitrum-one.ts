import type { Address } from '../pm/bytes.ts';

export const arbitrumOneChainId = 42_161;

/** The Controller on Arbitrum One, which knows the addresses of the other contracts. */
export const arbitrumOneController = '0xd8e8328501e9645d16cf49539efc04f734606ee4' as Address;

/** The TicketBroker on Arbitrum One, as its Controller names it. */
export const arbitrumOneTicketBroker = '0xa8bb618b1520e284046f3dfc448851a1ff26e41b' as Address;
