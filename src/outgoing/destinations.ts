import dns from 'node:dns';
import { type LookupFunction, isIP, isIPv6 } from 'node:net';
import { createNetworkList } from '../ip-networks.ts';
import { OutgoingError } from './outgoing-error.ts';

/** The destinations that are allowed for URLs that somebody else has written. */
export type Destinations = {
  /**
   * The lookup to connect to the URL's host with. It leaves out addresses that are not allowed; since the connection uses it, a
   * name can't be checked with one address and connected to with another. Throws `address-refused` for a URL that no lookup could
   * make acceptable.
   */
  lookupFor(url: URL): LookupFunction;
};

/** IANA's special-purpose IPv4 networks, which are not, or not necessarily, reached through the internet. */
const specialIpv4 = createNetworkList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

/**
 * The IPv6 addresses that are routed globally: loopback, link-local, unique local, multicast, NAT64 and IPv4-mapped addresses are
 * outside.
 */
const globalIpv6 = createNetworkList(['2000::/3']);

/** IPv6 networks within those: tunnels that embed an IPv4 address (Teredo, 6to4), protocol assignments and documentation. */
const specialIpv6 = createNetworkList(['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']);

function isPublic(address: string): boolean {
  if (isIPv6(address)) return globalIpv6(address) && !specialIpv6(address);
  return !specialIpv4(address);
}

/**
 * Allows public addresses by https, and the granted ones by http and https. `grants` are addresses and networks, such as
 * `10.1.0.0/16`, which were checked when the configuration was read.
 */
export function createDestinations(
  grants: readonly string[],
  lookup: typeof dns.lookup = dns.lookup,
): Destinations {
  const isGranted = createNetworkList(grants);
  return {
    lookupFor({ protocol, hostname, username, password }) {
      const refuse = (reason: string): OutgoingError =>
        new OutgoingError('address-refused', reason);
      if (protocol !== 'https:' && protocol !== 'http:') {
        throw refuse('only https is asked, and http where it is granted');
      }
      if (username + password !== '') throw refuse('the URL holds credentials');
      const isAllowed = (address: string): boolean =>
        isGranted(address) || (protocol === 'https:' && isPublic(address));
      const refused = refuse(
        protocol === 'https:'
          ? 'the address is not public, and not granted'
          : 'http is for granted addresses only',
      );
      const literal = hostname.replace(/^\[|\]$/g, '');
      if (isIP(literal) !== 0 && !isAllowed(literal)) throw refused;

      return (name, options, callback) => {
        lookup(name, { ...options, all: true }, (error, answers) => {
          if (error) {
            callback(error, '');
            return;
          }
          const allowed = answers.filter(({ address }) => isAllowed(address));
          const [first] = allowed;
          if (!first) {
            callback(refused, '');
            return;
          }
          if (options.all) {
            callback(null, allowed);
            return;
          }
          callback(null, first.address, first.family);
        });
      };
    },
  };
}
