import http from 'node:http';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newAuthority, newCertificate } from '../auth/certificates.ts';
import { checkConfig } from '../../src/cli/check-config.ts';
import { Folder, devConfig, root } from '../cli/cli.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';

const folder = new Folder();
const token = 'operator-0123456789abcdef';
let signer: TestSigner;

afterAll(() => folder[Symbol.dispose]());

const reads = [
  '/healthz',
  '/readyz',
  '/metrics',
  '/status',
  '/ethAddr',
  '/EthChainID',
  '/senderInfo',
  '/openapi.json',
  '/openapi-admin.json',
  '/asyncapi.json',
  '/',
  '/page.css',
  '/page.js',
  '/uplot.css',
  '/uplot.js',
];

/** Those that change from one moment to the next. */
const changing = ['/metrics', '/'];

describe('the admin listener', () => {
  beforeAll(async () => {
    // more wei than a double can count
    const chain = { ...vectorChain, deposit: '12345678901234567891 wei', withdrawRound: 9 };
    signer = await startTestSigner({ settings: { chain } });
  });

  afterAll(() => signer.close());

  it.each(reads)(
    'answers GET and HEAD of %s, with a query too, and names them at any other',
    async (path) => {
      const answer = await fetch(`${signer.adminUrl}${path}?refresh=1`);
      const text = await answer.text();
      expect({ status: answer.status, cache: answer.headers.get('cache-control') }).toEqual({
        status: path === '/readyz' ? 503 : 200,
        cache: 'no-store',
      });
      const head = await fetch(`${signer.adminUrl}${path}`, { method: 'HEAD' });
      expect({ status: head.status, text: await head.text() }).toEqual({
        status: answer.status,
        text: '',
      });
      if (!changing.includes(path)) {
        expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
      }
      const post = await fetch(`${signer.adminUrl}${path}`, { method: 'POST', body: '{}' });
      expect({ status: post.status, allow: post.headers.get('allow') }).toEqual({
        status: 405,
        allow: 'GET, HEAD',
      });
      if (path !== '/') expect((await fetch(`${signer.adminUrl}${path}/`)).status).toBe(404);
    },
  );

  it('answers HEAD of /events at once, and follows it for nobody', async () => {
    const head = await fetch(`${signer.adminUrl}/events?x=1`, { method: 'HEAD' });
    expect({ status: head.status, text: await head.text() }).toEqual({ status: 200, text: '' });
  });

  it.each(['openapi.json', 'openapi-admin.json', 'asyncapi.json'])(
    'serves what docs/%s holds',
    async (name) => {
      const answer = await fetch(`${signer.adminUrl}/${name}`);
      const document = readFileSync(join(root, 'docs', name), 'utf8');
      expect(await answer.json()).toEqual(JSON.parse(document));
    },
  );

  it('has no other path, and signs nothing', async () => {
    for (const path of ['/nothing', '/generate-live-payment', '/sign-orchestrator-info']) {
      expect((await fetch(`${signer.adminUrl}${path}`, { method: 'POST' })).status).toBe(404);
    }
  });

  it('tells each part with its code, reason and age, while the payment listener says yes or no', async () => {
    const operators = await fetch(`${signer.adminUrl}/readyz`);
    expect(await operators.json()).toEqual({
      ready: false,
      parts: expect.objectContaining({
        key: { ready: true, ageMs: 0, worker: 1 },
        chain: {
          ready: false,
          code: 'SENDER_UNLOCKING',
          reason:
            'the deposit is unlocked and may be withdrawn soon: fund it, or cancel the unlock',
          ageMs: 0,
          worker: 1,
        },
      }) as object,
    });
    const clients = await fetch(`${signer.url}/readyz`);
    expect({ status: clients.status, text: await clients.text() }).toEqual({
      status: 503,
      text: '{"ready":false}\n',
    });
  });

  it('answers the probes of go-livepeer’s CLI port, big numbers digit by digit', async () => {
    const read = async (path: string) => (await fetch(`${signer.adminUrl}${path}`)).text();
    expect(await read('/ethAddr')).toBe(signer.checksumAddress);
    expect(await read('/EthChainID')).toBe('42161');
    const reserve = vectorChain.reserve.replace(' wei', '');
    expect(await read('/senderInfo')).toBe(
      `{"Deposit":12345678901234567891,"WithdrawRound":9,"Reserve":{"FundsRemaining":${reserve},"ClaimedInCurrentRound":0}}`,
    );
    const status = JSON.parse(await read('/status')) as Record<string, unknown>;
    expect(status).toMatchObject({
      Version: expect.stringMatching(/^\d/) as string,
      OrchestratorPool: [],
      ready: false,
      workers: [{ worker: 1, isAnswering: true }],
      keys: [{ address: signer.checksumAddress, chain: { depositWei: '12345678901234567891' } }],
    });
  });

  it('serves no page that comes under a name of its own to this machine', async () => {
    const { port } = new URL(signer.adminUrl);
    const ask = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const take = (response: http.IncomingMessage): void => {
          response.resume();
          resolve(response.statusCode);
        };
        http
          .get(`${signer.adminUrl}/status`, { headers: { Host: host } }, take)
          .on('error', reject);
      });
    expect(await ask(`localhost:${port}`)).toBe(200);
    expect(await ask(`[::1]:${port}`)).toBe(200);
    expect(await ask(`rebound.example:${port}`)).toBe(421);
  });
});

describe('operators’ credentials', () => {
  afterEach(() => signer.close());

  it('are a token, as a bearer’s or as a password, for all but /healthz', async () => {
    const path = folder.write('token', `${token}\n`);
    signer = await startTestSigner({
      settings: { admin: { listen: '127.0.0.1:0', token: `file:${path}` } },
    });
    const statusOf = async (authorization?: string, path = '/status') => {
      const headers = authorization === undefined ? {} : { Authorization: authorization };
      return (await fetch(`${signer.adminUrl}${path}`, { headers })).status;
    };
    expect(await statusOf(undefined, '/healthz')).toBe(200);
    for (const read of reads.slice(1)) expect(await statusOf(undefined, read)).toBe(401);
    expect(await statusOf(undefined, '/nothing')).toBe(401);
    expect(await statusOf(`Bearer ${token.slice(0, -1)}`)).toBe(401);
    expect(await statusOf('Basic !!!')).toBe(401);
    expect(await statusOf(`Bearer ${token}`)).toBe(200);
    expect(await statusOf(`Basic ${btoa(`anybody:${token}`)}`)).toBe(200);
    const refused = await fetch(`${signer.adminUrl}/`);
    expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer, Basic realm=/);
    const told = await fetch(`${signer.adminUrl}/status`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    expect(await told.text()).not.toContain(token);
  });

  it('are a client certificate, or the listener’s own with its key', async () => {
    const authority = await newAuthority('operators');
    const pairs = {
      own: await newCertificate(undefined, {
        commonName: 'signer.example',
        usage: 'serverAuth',
        altNames: [{ type: 7, ip: '127.0.0.1' }],
      }),
      operator: await newCertificate(authority, { commonName: 'ada' }),
      stranger: await newCertificate(await newAuthority('others'), { commonName: 'eve' }),
    };
    const cert = folder.write('own.pem', pairs.own.cert);
    const key = folder.write('own-key.pem', pairs.own.key);
    const clientCa = folder.write('operators.pem', authority.cert);
    signer = await startTestSigner({
      settings: { admin: { listen: '127.0.0.1:0', tls: { cert, key, clientCa } } },
    });
    const statusOf = (client: object, path = '/status') =>
      new Promise<number | undefined>((resolve, reject) => {
        https
          .request(`${signer.adminUrl}${path}`, { ca: pairs.own.cert, ...client }, (response) => {
            response.resume();
            resolve(response.statusCode);
          })
          .on('error', reject)
          .end();
      });
    expect(await statusOf({})).toBe(403);
    expect(await statusOf({}, '/healthz')).toBe(200);
    expect(await statusOf(pairs.stranger)).toBe(403);
    expect(await statusOf(pairs.operator)).toBe(200);
    expect(await statusOf(pairs.own)).toBe(200);
  });
});

describe('config check', () => {
  const check = (yaml: string) =>
    checkConfig({ config: folder.write('signer.yaml', `${devConfig}${yaml}\n`) });

  it.each([
    [
      'admin: { listen: "0.0.0.0:7937" }',
      'admin.listen: other machines can reach it: set admin.token',
    ],
    [
      'admin: { listen: "0.0.0.0:7937", tls: { cert: a, key: b } }',
      'admin.listen: other machines can reach it: set admin.token',
    ],
    ['admin: { token: 0123456789abcdef01234567 }', 'admin.token: expected a reference'],
    ['admin: { token: "file:no-such-file" }', 'admin.token: secret file'],
    ['admin: { token: "file:short" }', 'admin.token: expected at least 16 visible'],
    ['admin: { listen: everywhere }', 'admin.listen: expected HOST:PORT, or false'],
    [
      'metrics: { listen: 9464 }',
      'metrics: there is no such field any more: /metrics is served at admin.listen',
    ],
  ])('refuses %s', async (yaml, says) => {
    folder.write('short', 'guess-me\n');
    await expect(check(yaml)).rejects.toThrow(says);
  });

  it.each(['admin: { listen: false }', 'admin: { listen: "0.0.0.0:7937", token: "file:token" }'])(
    'takes %s',
    async (yaml) => {
      folder.write('token', `${token}\n`);
      await expect(check(yaml)).resolves.toBeUndefined();
    },
  );
});
