import { afterEach, describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { Folder } from '../cli/cli.ts';
import { KeyFile } from '../auth/auth-world.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { type TestOffer, priceOf, runner, startOrchestrator } from './orchestrators.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function start(offer?: TestOffer) {
  const server = await startOrchestrator(offer);
  opened.push(server);
  return server;
}

async function startSigner(
  discovery: Record<string, unknown>,
  settings: Record<string, unknown> = {},
  metrics = createMetrics(),
): Promise<TestSigner> {
  const signer = await startTestSigner({
    metrics,
    settings: {
      discovery: {
        refreshIntervalMs: 50,
        grants: ['127.0.0.0/8'],
        verifyTls: false,
        ...discovery,
      },
      ...settings,
    },
  });
  opened.push(signer);
  return signer;
}

const ask = (signer: TestSigner, query = '', options: RequestInit = {}) =>
  fetch(`${signer.url}/discover-orchestrators${query}`, options);

type Entry = {
  readonly address: string;
  readonly score: number;
  readonly capabilities: string[];
  readonly runners?: (typeof runner)[];
};

async function list(signer: TestSigner, query = ''): Promise<Entry[]> {
  const answer = await ask(signer, query);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Entry[];
}

const expectSoon = (assertion: () => Promise<void>) =>
  vi.waitFor(assertion, { timeout: 20_000, interval: 20 });

describe('GET /discover-orchestrators', () => {
  it('names orchestrators with their models and runners, without a credential or a key call', async () => {
    const [one, two] = await Promise.all([
      start({ models: ['scope', 'org/model'] }),
      start({ models: ['noop'] }),
    ]);
    const signer = await startSigner({ orchestrators: [one.url, two.url] });
    await expectSoon(async () => expect(await list(signer)).toHaveLength(2));
    const answer = await ask(signer);
    expect(answer.headers.get('content-type')).toBe('application/json');
    const text = await answer.text();
    expect(text.endsWith(']\n')).toBe(true);
    const entries = JSON.parse(text) as Entry[];
    expect(entries.map(({ address }) => address)).toEqual([one.url, two.url].toSorted());
    expect(entries.find(({ address }) => address === one.url)).toMatchObject({
      score: 1,
      capabilities: ['live-video-to-video/org/model', 'live-video-to-video/scope', runner.app],
      runners: [{ ...runner, url: `${one.url}/apps/one/app` }],
    });
    expect(signer.key.digests).toHaveLength(0);
    const head = await ask(signer, '', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(head.headers.get('content-length')).toBe(`${text.length}`);
  });

  it('filters by models, apps and GPUs, however they are written', async () => {
    const model = 'live-video-to-video/org/model';
    const [one, two] = await Promise.all([
      start({ models: ['org/model'] }),
      start({ models: ['noop'], document: undefined }),
    ]);
    const signer = await startSigner({ orchestrators: [one.url, two.url] });
    await expectSoon(async () => {
      expect((await list(signer)).flatMap((entry) => entry.runners ?? [])).toHaveLength(1);
      expect(await list(signer)).toHaveLength(2);
    });
    const addresses = async (query: string) =>
      (await list(signer, query)).map(({ address }) => address);
    const both = [one.url, two.url].toSorted();
    expect(await addresses('?caps=&app=&unknown=1')).toEqual(both);
    expect(await addresses(`?caps=${model}`)).toEqual([one.url]);
    expect(await addresses(`?caps=${encodeURIComponent(model)}`)).toEqual([one.url]);
    expect(await addresses(`?caps=${model}&caps=live-video-to-video/noop`)).toEqual(both);
    expect(await addresses('?caps=live-video-to-video')).toEqual([]);
    expect(await addresses(`?app=${runner.app}&gpu=${runner.gpu.name}`)).toEqual([one.url]);
    expect(await addresses(`?gpu=+${runner.gpu.name}%20`)).toEqual([one.url]);
    expect(await addresses('?gpu=H100')).toEqual([]);
  });

  it('leaves out what is above the ceilings of the configuration', async () => {
    const { url } = await start({
      models: ['dear', 'cheap', 'special'],
      config: {
        capabilitiesPrices: [
          priceOf(35, 'dear', 2_001n),
          priceOf(35, 'cheap', 2_000n),
          priceOf(35, 'special', 9_000n),
        ],
      },
    });
    const prices = {
      maxPrice: { lv2v: '2000 wei', fixed: '1 gwei' },
      capabilities: [{ pipeline: 'live-video-to-video', model: 'special', maxPrice: '9000 wei' }],
    };
    const signer = await startSigner({ orchestrators: [url] }, { prices });
    await expectSoon(async () => expect(await list(signer)).toHaveLength(1));
    expect(await list(signer)).toMatchObject([
      { capabilities: ['live-video-to-video/cheap', 'live-video-to-video/special'] },
    ]);
  });

  it('is 503 while nobody is known, and 405 for other methods', async () => {
    const server = await start();
    server.fault = 'refusing';
    const signer = await startSigner({ orchestrators: [server.url, 'https://10.0.0.1:8935'] });
    const refused = await ask(signer);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await refused.text()).toBe('{"error":{"message":"Service Unavailable Error"}}\n');
    expect(signer.logLines).toContainEqual(
      expect.objectContaining({ code: 'DISCOVERY_UNAVAILABLE', path: '/discover-orchestrators' }),
    );
    const posted = await ask(signer, '', { method: 'POST', body: '{}' });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    server.fault = undefined;
    await expectSoon(async () => expect(await list(signer)).toHaveLength(1));
  });

  it('asks for a credential where it is told to', async () => {
    using folder = new Folder();
    const file = new KeyFile(folder);
    const key = file.add({ principal: 'gateway' });
    const { url } = await start();
    const auth = { apiKeys: { file: file.path }, protectDiscovery: true };
    const signer = await startSigner({ orchestrators: [url] }, { auth });
    expect((await ask(signer)).status).toBe(401);
    const headers = { Authorization: `Bearer ${key}` };
    await expectSoon(async () => expect((await ask(signer, '', { headers })).status).toBe(200));
    const open = await startSigner({ orchestrators: [url] }, { auth: { apiKeys: auth.apiKeys } });
    await expectSoon(async () => expect((await ask(open)).status).toBe(200));
  });

  it('is 429 for more questions in a second than it takes', async () => {
    const { url } = await start();
    const signer = await startSigner({ orchestrators: [url], requestsPerSecond: 1 });
    const statuses: number[] = [];
    await expectSoon(async () => {
      const answers = await Promise.all([ask(signer), ask(signer), ask(signer)]);
      statuses.push(...answers.map(({ status }) => status));
      expect(statuses).toContain(200);
      expect(statuses).toContain(429);
    });
  });

  it('counts who was asked, and who is listed', async () => {
    const [well, ill] = await Promise.all([start(), start()]);
    ill.fault = 'oversized';
    const metrics = createMetrics();
    const signer = await startSigner({ orchestrators: [well.url, ill.url] }, {}, metrics);
    await expectSoon(async () => expect(await list(signer)).toHaveLength(1));
    await expectSoon(async () => {
      const text = await metrics.text();
      for (const part of ['terms', 'runners']) {
        for (const outcome of ['answered', 'oversized']) {
          expect(text).toMatch(
            new RegExp(
              `^livepeer_hsm_signer_discovery_asked_total\\{part="${part}",outcome="${outcome}"\\} [1-9]`,
              'm',
            ),
          );
        }
      }
    });
    expect(await metrics.text()).toMatch(/^livepeer_hsm_signer_discovery_listed 1$/m);
  });
});
