import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { OutgoingError } from '../../src/outgoing/outgoing-error.ts';
import { rational } from '../../src/pm/rational.ts';
import type { SandboxFault } from '../sandbox-orchestrator/faults.ts';
import {
  type TestOffer,
  createTestClient,
  offerModels,
  priceOf,
  runner,
  startOrchestrator,
} from './orchestrators.ts';

const { signal } = new AbortController();

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function start(offer?: TestOffer) {
  const server = await startOrchestrator(offer);
  opened.push(server);
  return server;
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'answered',
    (error: unknown) => (error as OutgoingError).failure,
  );
}

describe('the terms of an orchestrator', () => {
  it('are asked for with the signature that orchestrators want to see, over a certificate of its own', async () => {
    const { url } = await start({ models: ['scope', 'noop'] });
    const client = await createTestClient({ verifyTls: true });
    const terms = await client.askTerms(url, signal);
    expect(terms.ethAddress).toMatch(/^0x[0-9a-f]{40}$/);
    const { capabilities, ...offer } = terms.offer;
    expect(offer).toEqual({ address: url, runners: [] });
    expect(capabilities.toSorted()).toEqual([
      'live-video-to-video/noop',
      'live-video-to-video/scope',
    ]);
    const stranger = await createTestClient({
      sender: () => Promise.resolve({ address: new Uint8Array(20), signature: new Uint8Array(65) }),
    });
    await expect(stranger.askTerms(url, signal)).rejects.toMatchObject({
      failure: 'status',
      message: 'gRPC status 2',
    });
  });

  it('name the pipelines that have models, byoc too, and no others', async () => {
    const capabilities = offerModels({
      0: ['h264'],
      27: ['SG161222/RealVisXL_V4.0_Lightning'],
      32: ['sam2'],
      35: [''],
      37: ['my-app'],
      99: ['unknown'],
    });
    const { url } = await start({ config: { capabilities } });
    const client = await createTestClient();
    expect((await client.askTerms(url, signal)).offer.capabilities).toEqual([
      'text-to-image/SG161222/RealVisXL_V4.0_Lightning',
      'segment-anything-2/sam2',
      'byoc/my-app',
    ]);
  });

  it('are listed up to the ceiling: by the price of the model, else by that of all', async () => {
    const { url } = await start({
      models: ['base', 'cheap', 'dear', 'zero-units'],
      config: {
        pricePerUnit: 100n,
        pixelsPerUnit: 3n,
        capabilitiesPrices: [
          priceOf(35, 'cheap', 10n),
          priceOf(35, 'dear', 101n),
          priceOf(27, 'base', 9_999n),
          { ...priceOf(35, 'zero-units', 5n), pixelsPerUnit: 0n },
        ],
      },
    });
    const listWith = async (ceiling: ReturnType<typeof rational>) => {
      const client = await createTestClient({ capabilityCeiling: () => ceiling });
      const { offer } = await client.askTerms(url, signal);
      return offer.capabilities.map((name) => name.split('/')[1]);
    };
    expect(await listWith(rational(100n, 3n))).toEqual(['base', 'cheap', 'zero-units']);
    expect(await listWith(rational(99n, 3n))).toEqual(['cheap']);
    expect(await listWith(rational(101n))).toEqual(['base', 'cheap', 'dear', 'zero-units']);
    expect(await listWith(rational(9n))).toEqual([]);
  });

  it.each<[string, TestOffer]>([
    ['no Ethereum address', { config: { address: '0x' } }],
    ['no service URL', { serviceUrl: '' }],
    ['no service URL', { serviceUrl: 'javascript:alert(1)' }],
    ['no service URL', { serviceUrl: 'sandbox.example:8935' }],
    ['no service URL', { serviceUrl: 'htt\tps://sandbox.example:8935' }],
    ['no service URL', { serviceUrl: 'https://sandbox.example:8935\n' }],
    ['no service URL', { serviceUrl: ' https://sandbox.example:8935' }],
    ['no service URL', { serviceUrl: 'https:\\\\sandbox.example:8935' }],
    ['no service URL', { serviceUrl: 'https://sandbox.example\\@other.example' }],
    ['no service URL', { serviceUrl: 'https://user:password@sandbox.example' }],
    ['no service URL', { serviceUrl: 'https://@sandbox.example' }],
    ['no service URL', { serviceUrl: 'https:sandbox.example' }],
    ['no service URL', { serviceUrl: 'https:///sandbox.example' }],
    ['no service URL', { serviceUrl: 'https://0x7f.1:8935' }],
    ['no service URL', { serviceUrl: 'https://ｓandbox.example' }],
    ['no service URL', { serviceUrl: 'https://sand%62ox.example' }],
    ['no service URL', { serviceUrl: 'https://sandbox.example/%zz' }],
    ['no service URL', { serviceUrl: 'https://sandbox.example:65536' }],
  ])('count for nothing with %s', async (message, offer) => {
    const { url } = await start(offer);
    const client = await createTestClient();
    await expect(client.askTerms(url, signal)).rejects.toMatchObject({
      failure: 'malformed',
      message,
    });
  });
});

describe('a service URL', () => {
  it.each([
    'https://sandbox.example:8935',
    'HTTPS://Sandbox.Example:8935/',
    'http://127.0.0.1:80/a%20b?c=d@e#f',
    'https://[::1]:8935',
    'https://[0:0:0:0:0:0:0:1]',
    'https://sandbox.example:/',
  ])('may be %s', async (serviceUrl) => {
    const { url } = await start({ serviceUrl });
    const client = await createTestClient();
    const { offer } = await client.askTerms(url, signal);
    expect(offer.address).toBe(serviceUrl.replace(/\/+$/, ''));
  });
});

describe('the runners of an orchestrator', () => {
  it('are what its document says', async () => {
    const { url } = await start();
    const client = await createTestClient();
    const [offer, ...others] = await client.askRunners(url, signal);
    expect(others).toEqual([]);
    expect(offer?.address).toBe(url);
    expect(offer?.runners.map(({ json }) => JSON.parse(json) as unknown)).toEqual([
      { ...runner, url: `${url}/apps/one/app` },
    ]);
  });

  it('are none where there is no document', async () => {
    const { url } = await start({ document: undefined });
    const client = await createTestClient();
    expect(await client.askRunners(url, signal)).toEqual([]);
  });

  it('count only behind a certificate that is vouched for, unless told', async () => {
    const { url } = await start();
    const client = await createTestClient({ verifyTls: true });
    await expect(client.askRunners(url, signal)).rejects.toMatchObject({
      failure: 'unreachable',
      message: "can't be reached: DEPTH_ZERO_SELF_SIGNED_CERT",
    });
  });
});

describe('an orchestrator that fails', () => {
  it.each<[SandboxFault, string, string]>([
    ['silent', 'timed-out', 'timed-out'],
    ['refusing', 'status', 'status'],
    ['oversized', 'oversized', 'oversized'],
    ['malformed', 'malformed', 'malformed'],
    ['redirecting', 'status', 'status'],
  ])('by being %s is told from one that answers', async (fault, terms, runners) => {
    const server = await start();
    server.fault = fault;
    const timeoutMs = fault === 'silent' ? 200 : 5_000;
    const client = await createTestClient({ timeoutMs });
    expect(await failureOf(client.askTerms(server.url, signal))).toBe(terms);
    expect(await failureOf(client.askRunners(server.url, signal))).toBe(runners);
  });

  it('by being away, or speaking another protocol, is told from one that answers', async () => {
    const client = await createTestClient({ timeoutMs: 5_000 });
    const chatter = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('220 ready\r\n'),
    );
    await new Promise<void>((resolve) => chatter.listen(0, '127.0.0.1', resolve));
    const { port } = chatter.address() as AddressInfo;
    expect(await failureOf(client.askTerms(`https://127.0.0.1:${port}`, signal))).toBe(
      'unreachable',
    );
    await new Promise((resolve) => chatter.close(resolve));
    expect(await failureOf(client.askTerms(`https://127.0.0.1:${port}`, signal))).toBe(
      'unreachable',
    );
    expect(await failureOf(client.askRunners(`https://127.0.0.1:${port}`, signal))).toBe(
      'unreachable',
    );
  });

  it('by sending its document byte by byte gets no more time', async () => {
    const slow = createServer((socket) => {
      socket.on('error', () => undefined).write('HTTP/1.1 200 OK\r\n\r\n');
      const timer = setInterval(() => socket.write(' '), 10);
      socket.on('close', () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    opened.push(slow);
    const { port } = slow.address() as AddressInfo;
    const client = await createTestClient({ timeoutMs: 200 });
    expect(await failureOf(client.askRunners(`http://127.0.0.1:${port}`, signal))).toBe(
      'timed-out',
    );
  });

  it('is not waited for once nobody wants its answer', async () => {
    const server = await start();
    server.fault = 'silent';
    const client = await createTestClient({ timeoutMs: 60_000 });
    const unwanted = new AbortController();
    const answers = [
      client.askTerms(server.url, unwanted.signal),
      client.askRunners(server.url, unwanted.signal),
    ].map(failureOf);
    unwanted.abort();
    expect(await Promise.all(answers)).toEqual(['unreachable', 'unreachable']);
  });
});
