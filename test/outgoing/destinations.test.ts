import type { LookupAddress, LookupAllOptions } from 'node:dns';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDestinations } from '../../src/outgoing/destinations.ts';
import { getOutgoing } from '../../src/outgoing/get.ts';
import { callOutgoingGrpc } from '../../src/outgoing/grpc.ts';
import type { OutgoingError } from '../../src/outgoing/outgoing-error.ts';
import { countConnects } from '../support/count-connects.ts';

const limits = {
  timeoutMs: 5_000,
  maxBytes: 1_024,
  verifyTls: false,
  signal: new AbortController().signal,
};

/** Hosts as they stand in a URL, none of which the internet leads to. */
const refusedHosts = [
  '127.0.0.1',
  '127.255.255.254',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.254',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.51.100.7',
  '203.0.113.9',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:10.0.0.1]',
  '[::ffff:8.8.8.8]',
  '[64:ff9b::10.0.0.1]',
  '[100::1]',
  '[2001::1]',
  '[2001:db8::1]',
  '[2002:7f00:1::]',
  '[3fff::1]',
  '[fc00::1]',
  '[fd12:3456::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
  'localhost',
];

/** Names, and what the DNS says of each: once for each time that it is asked. */
const names: Record<string, readonly (readonly string[])[]> = {
  'private.example': [['10.0.0.1']],
  'metadata.example': [['169.254.169.254']],
  'mapped.example': [['::ffff:127.0.0.1']],
  'several.example': [['192.168.0.1', 'fe80::1', '127.0.0.1']],
};

/** Answers each question for a name with the next of its lists, the last one again and again. */
function createLookup(answers: Record<string, readonly (readonly string[])[]>) {
  const asked: string[] = [];
  const lookup = (
    name: string,
    _options: LookupAllOptions,
    callback: (error: Error | null, addresses: LookupAddress[]) => void,
  ): void => {
    const lists = answers[name] ?? [];
    const list = lists[asked.filter((earlier) => earlier === name).length] ?? lists.at(-1) ?? [];
    asked.push(name);
    const addresses = list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    callback(null, addresses);
  };
  return { asked, lookup: lookup as unknown as Parameters<typeof createDestinations>[1] };
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'answered',
    (error: unknown) => (error as OutgoingError).failure,
  );
}

let server: Server;
let port: number;
let requests: string[];
let connects: ReturnType<typeof countConnects>;

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    requests.push(request.url ?? '');
    const status = /^\/(30\d)$/.exec(request.url ?? '')?.[1];
    if (status !== undefined) response.setHeader('Location', `http://127.0.0.1:${port}/inside`);
    response.writeHead(Number(status ?? 200)).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  connects = countConnects();
});

afterEach(async () => {
  connects.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('an address that is not public', () => {
  it.each(refusedHosts)('%s is not connected to', async (host) => {
    const destinations = createDestinations([]);
    const url = new URL(`https://${host}:${port}/discovery`);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('address-refused');
    const call = callOutgoingGrpc(destinations, url, '/a.B/C', new Uint8Array(), limits);
    expect(await failureOf(call)).toBe('address-refused');
    expect(connects.begun).toBe(0);
    expect(requests).toEqual([]);
  });

  it.each(Object.keys(names))('is not connected to behind a name: %s', async (name) => {
    const { lookup, asked } = createLookup(names);
    const destinations = createDestinations([], lookup);
    const url = new URL(`https://${name}:${port}/discovery`);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('address-refused');
    const call = callOutgoingGrpc(destinations, url, '/a.B/C', new Uint8Array(), limits);
    expect(await failureOf(call)).toBe('address-refused');
    expect(asked).toEqual([name, name]);
    expect(connects.begun).toBe(0);
  });

  it('is not connected to when a name is given it later', async () => {
    const { lookup, asked } = createLookup({ 'rebound.example': [['127.0.0.1'], ['127.0.0.2']] });
    const destinations = createDestinations(['127.0.0.1/32'], lookup);
    const url = new URL(`http://rebound.example:${port}/`);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('answered');
    expect([asked.length, connects.begun]).toEqual([1, 1]);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('address-refused');
    expect([asked.length, connects.begun]).toEqual([2, 1]);
  });

  it('is left out where a name has others too', async () => {
    const { lookup } = createLookup({ 'mixed.example': [['10.0.0.1', '127.0.0.1', '::1']] });
    const destinations = createDestinations(['127.0.0.0/8'], lookup);
    const url = new URL(`http://mixed.example:${port}/`);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('answered');
    expect(connects.begun).toBe(1);
  });

  it('is connected to when it is granted', async () => {
    const destinations = createDestinations(['127.0.0.1']);
    const answer = await getOutgoing(destinations, new URL(`http://127.0.0.1:${port}/`), limits);
    expect([answer.status, answer.body.toString()]).toEqual([200, '{}']);
    const mapped = new URL(`http://[::ffff:127.0.0.1]:${port}/`);
    expect((await getOutgoing(destinations, mapped, limits)).status).toBe(200);
    expect(connects.begun).toBe(2);
  });
});

describe('a URL', () => {
  it.each([
    'http://8.8.8.8/discovery',
    'http://[2606:4700::1111]/discovery',
    'ftp://8.8.8.8/',
    'file:///etc/passwd',
    'data:,x',
    'https://user:password@8.8.8.8/',
    'https://token@8.8.8.8/',
  ])('is not asked where it is neither https nor granted: %s', async (text) => {
    const { lookup } = createLookup(names);
    const destinations = createDestinations(['127.0.0.0/8'], lookup);
    const url = new URL(text);
    expect(await failureOf(getOutgoing(destinations, url, limits))).toBe('address-refused');
    const call = callOutgoingGrpc(destinations, url, '/a.B/C', new Uint8Array(), limits);
    expect(await failureOf(call)).toBe('address-refused');
    expect(connects.begun).toBe(0);
  });

  it.each([301, 302, 303, 307, 308])('that redirects with %i leads nowhere', async (status) => {
    const destinations = createDestinations(['127.0.0.0/8']);
    const url = new URL(`http://127.0.0.1:${port}/${status}`);
    expect((await getOutgoing(destinations, url, limits)).status).toBe(status);
    expect(connects.begun).toBe(1);
    expect(requests).toEqual([`/${status}`]);
  });
});

describe('a public address', () => {
  it.each([
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.255.255',
    '172.32.0.1',
    '192.167.255.255',
    '223.255.255.255',
    '2001:4860:4860::8888',
    '2606:4700::1111',
  ])('may be connected to by https: %s', (address) => {
    const { lookup } = createLookup({ 'public.example': [['10.0.0.1', address]] });
    const destinations = createDestinations([], lookup);
    const host = address.includes(':') ? `[${address}]` : address;
    expect(() => destinations.lookupFor(new URL(`https://${host}/`))).not.toThrow();
    const find = destinations.lookupFor(new URL('https://public.example/'));
    find('public.example', { all: true }, (error, addresses) => {
      expect(error).toBeNull();
      expect(addresses).toEqual([{ address, family: address.includes(':') ? 6 : 4 }]);
    });
    expect.assertions(3);
  });
});
