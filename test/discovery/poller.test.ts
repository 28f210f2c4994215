import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type PollerOptions, startPoller } from '../../src/discovery/poller.ts';
import { type DiscoverySnapshot, formatAnswer } from '../../src/discovery/snapshot.ts';
import {
  type OrchestratorSource,
  chainSource,
  listSource,
  webhookSource,
} from '../../src/discovery/sources.ts';
import { parseAddress } from '../../src/pm/bytes.ts';
import { type TestOffer, createTestClient, runner, startOrchestrator } from './orchestrators.ts';

const everything = { caps: [], apps: [], gpus: [] };

type Listed = {
  readonly address: string;
  readonly capabilities: string[];
  readonly runners?: { url: string }[];
  readonly last_seen: string;
};

type LogLine = { message: string; fields: Readonly<Record<string, unknown>> };

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function start(offer?: TestOffer) {
  const server = await startOrchestrator(offer);
  opened.push(server);
  return server;
}

/** A poller that asks without pause, and what it has published and logged. */
async function poll(
  source: OrchestratorSource | readonly string[],
  options: Partial<PollerOptions> & { timeoutMs?: number } = {},
) {
  const snapshots: DiscoverySnapshot[] = [];
  const logLines: LogLine[] = [];
  const { timeoutMs = 5_000, ...others } = options;
  const poller = startPoller({
    sources: ['list' in source ? source : listSource(source)],
    client: await createTestClient({ timeoutMs }),
    extraNodes: 0,
    blocklist: [],
    refreshIntervalMs: 20,
    maxAgeMs: 3_600_000,
    publish: (snapshot) => snapshots.push(snapshot),
    observe: () => undefined,
    log: (_level, message, fields) => logLines.push({ message, fields }),
    ...others,
  });
  opened.push(poller);
  const list = (): Listed[] => {
    const snapshot = snapshots.at(-1);
    return snapshot ? (JSON.parse(formatAnswer(snapshot, everything)) as Listed[]) : [];
  };
  return {
    snapshots,
    logLines,
    list,
    addresses: () => list().map(({ address }) => address),
    messages: () => logLines.map(({ message }) => message),
  };
}

const patience = { timeout: 20_000, interval: 10 };
const expectSoon = (assertion: () => void) => vi.waitFor(assertion, patience);

describe('an orchestrator', () => {
  it('is listed with its models and its runners', async () => {
    const { url } = await start();
    const { list } = await poll([url]);
    await expectSoon(() => {
      expect(list()).toMatchObject([
        {
          address: url,
          score: 1,
          capabilities: ['live-video-to-video/scope', runner.app],
          runners: [{ ...runner, url: `${url}/apps/one/app` }],
        },
      ]);
    });
    expect(Date.now() - Date.parse(list()[0]?.last_seen ?? '')).toBeLessThan(60_000);
  });

  it('is listed while others are still being waited for', async () => {
    const [silent, quick] = await Promise.all([start(), start()]);
    silent.fault = 'silent';
    const { snapshots, addresses } = await poll([silent.url, quick.url], { timeoutMs: 60_000 });
    await expectSoon(() => expect(addresses()).toEqual([quick.url]));
    expect(snapshots.length).toBeGreaterThan(0);
  });

  it('keeps what it said last while it fails, and tells its age; it says so once', async () => {
    const server = await start();
    const { list, snapshots, messages } = await poll([server.url]);
    await expectSoon(() => expect(list()[0]?.runners).toHaveLength(1));
    server.fault = 'refusing';
    await expectSoon(() => {
      const told = messages().filter((message) => message === 'an orchestrator does not answer');
      expect(told).toHaveLength(2);
    });
    const [before] = list();
    const published = snapshots.length;
    await expectSoon(() => expect(snapshots.length).toBeGreaterThan(published + 3));
    expect(list()).toEqual([before]);
    expect(messages()).toHaveLength(2);

    server.fault = undefined;
    await expectSoon(() => {
      const told = messages().filter((message) => message === 'an orchestrator answers again');
      expect(told).toHaveLength(2);
      expect(Date.parse(list()[0]?.last_seen ?? '')).toBeGreaterThan(
        Date.parse(before?.last_seen ?? ''),
      );
    });
  });

  it('is no longer listed when what it said is too old', async () => {
    const server = await start();
    const { addresses, snapshots } = await poll([server.url], { maxAgeMs: 2_000 });
    await expectSoon(() => expect(addresses()).toEqual([server.url]));
    server.fault = 'silent';
    await expectSoon(() => expect(snapshots.at(-1)).toEqual({ entries: [] }));
  });

  it('keeps its models when only its runners are too old', async () => {
    let document: ((url: string) => unknown) | undefined = (url) => [
      { address: url, runners: [runner] },
    ];
    const server = await start({ document: (url) => document?.(url) ?? 'no document' });
    const { list } = await poll([server.url], { maxAgeMs: 2_000 });
    await expectSoon(() => expect(list()[0]?.runners).toHaveLength(1));
    document = undefined;
    await expectSoon(() => expect(list().map(({ runners }) => runners)).toEqual([undefined]));
    expect(list()[0]?.capabilities).toEqual(['live-video-to-video/scope']);
  });

  it('is listed under the address that it gives, and only under the newest', async () => {
    const first = await start({ serviceUrl: 'https://one.example:8935/' });
    const { port } = new URL(first.url);
    const { addresses } = await poll([first.url]);
    await expectSoon(() => expect(addresses()).toContain('https://one.example:8935'));
    await first.close();
    await start({ serviceUrl: 'https://two.example:8935', port: Number(port) });
    await expectSoon(() => {
      expect(addresses()).toContain('https://two.example:8935');
      expect(addresses()).not.toContain('https://one.example:8935');
    });
  });

  it('brings as many of its further nodes as are wanted, and none of theirs', async () => {
    const beyond = await start();
    const [node, second] = await Promise.all([start({ config: { nodes: [beyond.url] } }), start()]);
    const parent = await start({ config: { nodes: [node.url, second.url] } });
    const { addresses, snapshots } = await poll([parent.url], { extraNodes: 1 });
    await expectSoon(() => expect(addresses()).toEqual([parent.url, node.url].toSorted()));
    const published = snapshots.length;
    await expectSoon(() => expect(snapshots.length).toBeGreaterThan(published + 5));
    expect(addresses()).toEqual([parent.url, node.url].toSorted());
  });

  it('is not listed when it is blocked, nor while it has not said who it is', async () => {
    const addressOf = (digit: string) => `0x${digit.repeat(40)}`;
    const [bad, good, unknown] = await Promise.all([
      start({ config: { address: addressOf('b') } }),
      start({ config: { address: addressOf('a') } }),
      start({ config: { address: '0x' } }),
    ]);
    const blocklist = [parseAddress(addressOf('B'))].filter((address) => address !== undefined);
    const asked = [bad.url, good.url, unknown.url];
    const { addresses, snapshots } = await poll(asked, { blocklist });
    await expectSoon(() => expect(snapshots.length).toBeGreaterThan(5));
    expect(addresses()).toEqual([good.url]);
    const open = await poll(asked);
    await expectSoon(() => expect(open.addresses()).toEqual(asked.toSorted()));
  });
});

describe('a list', () => {
  it('may leave out the scheme, repeat itself and hold nonsense', async () => {
    const { url } = await start();
    const { host } = new URL(url);
    const { addresses } = await poll([host, url, `${url}/`, 'http://', '', 'ftp://x', '::']);
    await expectSoon(() => expect(addresses()).toEqual([url]));
  });

  it('may change: who is no longer on it is no longer listed', async () => {
    const [one, two] = await Promise.all([start(), start()]);
    let urls = [one.url, two.url];
    const { addresses } = await poll({ name: 'test', list: () => Promise.resolve(urls) });
    await expectSoon(() => expect(addresses()).toEqual([one.url, two.url].toSorted()));
    urls = [two.url];
    await expectSoon(() => expect(addresses()).toEqual([two.url]));
  });

  it('stays as it was while its source fails', async () => {
    const { url } = await start();
    let isFailing = false;
    const source: OrchestratorSource = {
      name: 'test',
      list: () => (isFailing ? Promise.reject(new Error('gone')) : Promise.resolve([url])),
    };
    const { list, messages, logLines } = await poll(source);
    await expectSoon(() => expect(list()).toHaveLength(1));
    isFailing = true;
    await expectSoon(() => expect(messages()).toHaveLength(1));
    const seen = Date.parse(list()[0]?.last_seen ?? '');
    await expectSoon(() => {
      expect(Date.parse(list()[0]?.last_seen ?? '')).toBeGreaterThan(seen);
    });
    expect(logLines).toEqual([
      {
        message: "orchestrators can't be listed; the last list stays",
        fields: { source: 'test', reason: 'gone' },
      },
    ]);
  });

  it('leaves out what is no service URL, and says so once for each number of them', async () => {
    const { url } = await start();
    let texts = [url, 'javascript:alert(1)', 'https://user:password@a.example'];
    let lists = 0;
    const list = () => {
      lists += 1;
      return Promise.resolve(texts);
    };
    const { addresses, logLines } = await poll({ name: 'test', list });
    const listTwice = async (): Promise<void> => {
      const before = lists;
      await expectSoon(() => expect(lists).toBeGreaterThan(before + 1));
    };
    await listTwice();
    texts = [url, ''];
    await listTwice();
    texts = [url];
    await listTwice();
    expect(addresses()).toEqual([url]);
    const message = 'some listed orchestrators have no service URL, and are left out';
    expect(logLines).toEqual([
      { message, fields: { source: 'test', count: 2, listed: 3 } },
      { message, fields: { source: 'test', count: 1, listed: 2 } },
    ]);
  });

  it('is asked at 16 hosts at once, and at each host for one orchestrator at a time', async () => {
    let underWay = 0;
    let most = 0;
    const hostsUnderWay = new Set<string>();
    const asked: string[] = [];
    const client: PollerOptions['client'] = {
      async askTerms(url, signal) {
        const { host } = new URL(url);
        expect(hostsUnderWay.has(host)).toBe(false);
        hostsUnderWay.add(host);
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setTimeout(resolve, 800));
        underWay -= 1;
        hostsUnderWay.delete(host);
        asked.push(url);
        if (signal.aborted) throw new Error('closed');
        throw new Error('nothing');
      },
      askRunners: () => Promise.resolve([]),
    };
    const urls = Array.from({ length: 60 }, (_, index) => `https://${index % 30}.example/${index}`);
    await poll(urls, { client, refreshIntervalMs: 3_600_000 });
    await expectSoon(() => expect(asked.toSorted()).toEqual(urls.toSorted()));
    expect(most).toBe(16);
  });
});

describe('the webhook', () => {
  let answer: (url: string | undefined) => { status: number; body: string };
  async function serve(): Promise<string> {
    const server: Server = createServer((request, response) => {
      const { status, body } = answer(request.url);
      response.writeHead(status).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/orchestrators?key=secret`;
  }
  const ask = (url: string) => webhookSource(url).list(AbortSignal.timeout(10_000));

  it('names addresses; its scores mean nothing here', async () => {
    const seen: unknown[] = [];
    answer = (url) => {
      seen.push(url);
      return { status: 200, body: '[{"address":"a:1","score":0.5},{"Address":"https://b"},{}]' };
    };
    expect(await ask(await serve())).toEqual(['a:1', 'https://b', '']);
    expect(seen).toEqual(['/orchestrators?key=secret']);
  });

  it.each([
    [500, '[]', 'HTTP status 500, not 200'],
    [302, '[]', 'HTTP status 302, not 200'],
    [200, '{}', 'no JSON array of {address}'],
    [200, '[1]', 'no JSON array of {address}'],
    [200, '[{"address":1}]', 'no JSON array of {address}'],
    [200, ' '.repeat(1_048_577), 'more than 1048576 bytes'],
  ])('counts for nothing when it answers %i with something else', async (status, body, message) => {
    answer = () => ({ status, body });
    await expect(ask(await serve())).rejects.toThrow(message);
  });
});

describe('the chain', () => {
  it('is read when a round begins, and again after a failure', async () => {
    let round = 7n;
    const asked: bigint[] = [];
    let isFailing = false;
    const source = chainSource(
      () => round,
      (asking) => {
        asked.push(asking);
        return isFailing ? Promise.reject(new Error('node')) : Promise.resolve([`r${asking}`]);
      },
    );
    const list = () => source.list(AbortSignal.timeout(10_000));
    expect([await list(), await list()]).toEqual([['r7'], ['r7']]);
    round = 8n;
    isFailing = true;
    await expect(list()).rejects.toThrow('node');
    isFailing = false;
    expect([await list(), await list()]).toEqual([['r8'], ['r8']]);
    expect(asked).toEqual([7n, 8n, 8n]);
  });
});
