import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isSameName } from '../../src/auth/distinguished-name.ts';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { startTestSigner } from '../support/test-signer.ts';
import { ask } from './ask.ts';
import { audience, claimsWith, issuer } from './auth-world.ts';
import { newAuthority, newCertificate } from './certificates.ts';
import { type Claims, type IssuerKey, JwksServer, newIssuerKey, signToken } from './jwks-server.ts';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function start(settings: Record<string, unknown>) {
  const signer = await startTestSigner({ settings });
  cleanUps.push(() => signer.close());
  return signer;
}

describe('the word of a trusted proxy', () => {
  it('is refused beside another one: that may be what the client had sent', async () => {
    const signer = await start({ auth: { trustedProxies: ['127.0.0.1'] } });
    const send = async (authIds: string | string[]): Promise<number> => {
      const headers = { 'Signer-Auth-Id': authIds };
      return (await ask(signer.url, { body: payableRequest(), headers })).status;
    };
    signer.key.reset();
    for (const authIds of [
      ['acme:ann', 'globex:bob'],
      ['acme:ann', 'acme:ann'],
      ['', 'globex:bob'],
    ]) {
      expect(await send(authIds)).toBe(401);
      expect(signer.logLines.at(-1)).toMatchObject({ code: 'CREDENTIAL_INVALID' });
    }
    expect(signer.key.digests).toHaveLength(0);
    expect(await send('globex:bob')).toBe(200);
  });

  it('reaches the auth webhook, and nothing of the kind from anybody else does', async () => {
    const webhook = await startAuthWebhook();
    cleanUps.push(() => webhook.close());
    const headers = { 'Signer-Auth-Id': 'acme:ann', 'Signer-Tenant': 'acme', 'X-Own': 'a' };
    for (const [proxy, isPassedOn] of [
      ['127.0.0.1', true],
      ['10.0.0.1', false],
    ] as const) {
      const auth = { trustedProxies: [proxy], webhook: { url: webhook.url } };
      const signer = await start({ auth });
      expect((await ask(signer.url, { body: payableRequest(), headers })).status).toBe(200);
      const asked = webhook.asked.at(-1)?.headers ?? {};
      expect(asked['X-Own']).toEqual(['a']);
      const names = Object.keys(asked).filter((name) => /^signer-/i.test(name));
      expect(names.sort()).toEqual(isPassedOn ? ['Signer-Auth-Id', 'Signer-Tenant'] : []);
    }
  });

  it('is nobody’s from anybody else, however often it comes', async () => {
    const signer = await start({ auth: { trustedProxies: ['10.0.0.1'] } });
    const headers = { 'Signer-Auth-Id': ['acme:ann', 'globex:bob'] };
    expect((await ask(signer.url, { body: payableRequest(), headers })).status).toBe(200);
  });
});

describe('tokens', () => {
  async function pay(published: IssuerKey[], key: IssuerKey, claims: Claims, header: Claims = {}) {
    const jwks = new JwksServer();
    await jwks.start();
    cleanUps.push(() => jwks.stop());
    jwks.publish(...published);
    const signer = await start({
      auth: { jwt: [{ issuer, audience, jwksUrl: jwks.url, requiredScopes: ['pay'] }] },
    });
    const token = signToken(key, claimsWith(claims), header);
    return signer.post(payableRequest(), { Authorization: `Bearer ${token}` });
  }
  const key = newIssuerKey('one', 'ES256');
  const namesake = newIssuerKey('one', 'ES256');

  it.each<[string, Claims, number]>([
    ['scope as text', { scope: 'read pay' }, 200],
    ['scope as a list', { scope: ['read', 'pay'] }, 200],
    ['scp as text', { scope: undefined, scp: 'read pay' }, 200],
    ['scp as a list', { scope: undefined, scp: ['read', 'pay'] }, 200],
    ['both, the scope in one', { scope: 'read', scp: ['pay'] }, 200],
    ['a scope that only begins so', { scope: 'payments', scp: ['pay all'] }, 403],
    ['a list of lists', { scope: [['pay']] }, 403],
    ['an object', { scope: { pay: true } }, 403],
  ])('with %s', async (_what, claims, status) => {
    expect((await pay([key], key, claims)).status).toBe(status);
  });

  it.each<[string, IssuerKey[], Claims, number]>([
    ['two keys have its id, and the second one fits', [namesake, key], {}, 200],
    [
      'it names no key, and the second one fits',
      [newIssuerKey('a', 'ES256'), key],
      { kid: undefined },
      200,
    ],
    [
      'it names no key, and none fits',
      [newIssuerKey('a', 'ES256'), namesake],
      { kid: undefined },
      401,
    ],
    ['two keys have its id, and none fits', [namesake, newIssuerKey('one', 'ES256')], {}, 401],
  ])('where %s', async (_when, published, header, status) => {
    expect((await pay(published, key, {}, header)).status).toBe(status);
  });
});

describe('a client certificate', () => {
  it('needs the CA that issued it in clientCa, and not that one’s own', async () => {
    const root = await newAuthority('root');
    const issuing = await newAuthority('issuing', root);
    const client = await newCertificate(issuing, {
      commonName: 'gw-1',
      organization: 'Acme Inc',
    });
    const stranger = await newCertificate(root, { commonName: 'gw-1', organization: 'Acme Inc' });
    const server = await newCertificate(undefined, {
      commonName: 'signer',
      usage: 'serverAuth',
      altNames: [{ type: 7, ip: '127.0.0.1' }],
    });
    using folder = new Folder();
    folder.write('cert.pem', server.cert);
    folder.write('key.pem', server.key);
    folder.write('ca.pem', issuing.cert);
    const path = (name: string): string => join(folder.path, name);
    const signer = await start({
      server: {
        listen: '127.0.0.1:0',
        tls: { cert: path('cert.pem'), key: path('key.pem'), clientCa: path('ca.pem') },
      },
      auth: { mtls: [{ subject: 'O = Acme Inc, CN = gw-1', principal: 'p' }] },
    });
    const payAs = async ({ cert, key }: { cert: string; key: string }) => {
      const tls = { ca: server.cert, cert, key };
      return (await ask(signer.url, { body: payableRequest(), tls })).status;
    };
    expect(await payAs(client)).toBe(200);
    expect(await payAs(stranger)).toBe(401);
  });

  it.each<[string, string, boolean]>([
    ['CN=gw,O=Acme', 'CN=gw,O=Acme', true],
    ['O=Acme, CN=gw', 'CN=gw,O=Acme', true],
    ['O = Acme, CN = gw', 'CN=gw,O=Acme', true],
    ['/O=Acme/CN=gw', 'CN=gw,O=Acme', true],
    [String.raw`CN=gw,O=Acme\, Inc.`, String.raw`CN=gw,O=Acme\, Inc.`, true],
    [String.raw`CN=gw,O=Acme\2C Inc.`, String.raw`CN=gw,O=Acme\, Inc.`, true],
    ['O = "Acme, Inc.", CN = gw', String.raw`CN=gw,O=Acme\, Inc.`, true],
    ['OU=b+CN=a,O=Acme', 'CN=a + OU=b,O=Acme', true],
    ['O = Acme, CN = a + OU = b', 'OU=b + CN=a,O=Acme', true],
    [String.raw`CN=M\C3\BCller`, 'CN=Müller', true],
    ['CN=gw', 'CN=gw,O=Acme', false],
    ['CN=gw,O=acme', 'CN=gw,O=Acme', false],
    ['CN=gw+O=Acme', 'CN=gw,O=Acme', false],
    ['CN=gw,O=Acme', String.raw`CN=gw\,O=Acme`, false],
    ['CN=gw,O=Acme', String.raw`CN=gw\+O\=Acme`, false],
    ['', 'CN=gw', false],
  ])('%s is written for %s: %s', (written, subject, isSame) => {
    expect(isSameName(written, subject)).toBe(isSame);
  });
});

describe('the auth webhook', () => {
  async function pay(url: string) {
    const signer = await start({ auth: { webhook: { url, timeoutMs: 1_500 } } });
    const { status } = await signer.post(payableRequest());
    const { code, details } = signer.logLines.at(-1) ?? {};
    return { status, code, details: String(details), calls: signer.key.digests.length };
  }
  const failed = { status: 500, code: 'AUTH_WEBHOOK_FAILED', calls: 0 };

  it('that refuses connections is told so', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    expect(await pay(`http://127.0.0.1:${port}/`)).toEqual({
      ...failed,
      details: 'nothing listens there (ECONNREFUSED)',
    });
  });

  it('of an unknown host is told so', async () => {
    const { details, ...answer } = await pay('http://webhook.invalid/');
    expect(answer).toEqual(failed);
    expect(details).toMatch(/host name .*\((?:ENOTFOUND|EAI_AGAIN)\)/);
  });

  it('with a certificate that nobody vouches for is told so', async () => {
    const { cert, key } = await newCertificate(undefined, {
      commonName: 'webhook',
      usage: 'serverAuth',
    });
    const server = https.createServer({ cert, key }).listen(0, '127.0.0.1');
    cleanUps.push(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await pay(`https://127.0.0.1:${port}/`)).toEqual({
      ...failed,
      details: 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)',
    });
  });

  it.each([301, 302, 303, 307, 308])('is not followed when it redirects by %i', async (status) => {
    const asked: (string | undefined)[] = [];
    const server = http
      .createServer((request, response) => {
        asked.push(request.url);
        response.writeHead(status, { Location: '/elsewhere' }).end('{"status":200}');
      })
      .listen(0, '127.0.0.1');
    cleanUps.push(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await pay(`http://127.0.0.1:${port}/auth`)).toMatchObject({
      status: 502,
      code: 'AUTH_WEBHOOK_ANSWER_INVALID',
      calls: 0,
    });
    expect(asked).toEqual(['/auth']);
  });

  it('whose expiry is in milliseconds is refused', async () => {
    const webhook = await startAuthWebhook();
    cleanUps.push(() => webhook.close());
    webhook.reply = { status: 200, expiry: BigInt(Date.now()) + 60_000n };
    expect(await pay(webhook.url)).toMatchObject({
      status: 502,
      code: 'AUTH_WEBHOOK_ANSWER_INVALID',
      calls: 0,
    });
    webhook.reply = { status: 200, expiry: BigInt(Math.floor(Date.now() / 1000)) + 60n };
    expect(await pay(webhook.url)).toMatchObject({ status: 200 });
  });
});
