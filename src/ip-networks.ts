import { BlockList, isIPv6 } from 'node:net';

/** Whether an IPv4 or IPv6 address, as text, is in a list. */
export type NetworkList = (address: string) => boolean;

/**
 * A list of IPv4 and IPv6 addresses, and of networks with their prefix length, such as `10.0.0.0/8`. An IPv4-mapped IPv6 address
 * (`::ffff:10.0.0.1`) counts as the IPv4 address. Throws when an entry is neither an address nor a network.
 */
export function createNetworkList(entries: readonly string[]): NetworkList {
  if (entries.length === 0) return () => false;
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(prefix ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return (address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
