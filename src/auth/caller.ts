import { createHash } from 'node:crypto';
import { BlockList, isIPv6 } from 'node:net';
import type { Caller } from './authorization.ts';

/** A header's name as Go writes it: each part between hyphens capitalised. */
function canonicalHeaderName(name: string): string {
  return name.toLowerCase().replace(/(^|-)([a-z])/g, (part) => part.toUpperCase());
}

const credentialHeaders = ['Authorization', 'Cookie', 'X-Api-Key'];

function hashCredential(headers: ReadonlyMap<string, readonly string[]>): string {
  const credentials = credentialHeaders.flatMap((name) =>
    (headers.get(name) ?? []).map((value) => [name, value]),
  );
  if (credentials.length === 0) return '';
  return createHash('sha256').update(JSON.stringify(credentials)).digest('hex');
}

/**
 * Addresses whose `Signer-*` headers are believed. `entries` are IPv4 or IPv6 addresses, with a prefix length for
 * networks. Throws when an entry is neither.
 */
export function createProxyList(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(prefix ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
    return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
  };
}

/**
 * What the transport tells of a caller. `rawHeaders` alternates names and values as received; a proxy must be
 * trusted for its `Signer-Auth-Id` to count.
 */
export function identifyCaller(rawHeaders: readonly string[], isTrustedProxy: boolean): Caller {
  const headers = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = canonicalHeaderName(rawHeaders[index] ?? '');
    const value = rawHeaders[index + 1] ?? '';
    if (name === 'Host' || (name.startsWith('Signer-') && !isTrustedProxy)) continue;
    headers.set(name, [...(headers.get(name) ?? []), value]);
  }
  return {
    headers,
    authId: headers.get('Signer-Auth-Id')?.[0] ?? '',
    credentialHash: hashCredential(headers),
  };
}
