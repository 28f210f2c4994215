import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp } from '../http/app.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startTestSigner } from '../support/test-signer.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { ask } from './ask.ts';
import { AuthWorld } from './auth-world.ts';
import { type Certificate, newAuthority, newCertificate } from './certificates.ts';

let world: AuthWorld;
let good: Certificate;
let forged: Certificate;

beforeAll(async () => {
  world = await AuthWorld.start();
  const altNames = [{ type: 6, value: 'spiffe://acme/gateway' }] as const;
  good = await newCertificate(world.authority, { commonName: 'a', altNames });
  forged = await newCertificate(await newAuthority('somebody else'), {
    commonName: 'a',
    altNames,
  });
});

afterAll(() => world[Symbol.asyncDispose]());

beforeEach(() => {
  world.signer.logLines.length = 0;
  world.signer.key.reset();
});

/** Pays through an agent, which may have a connection or a session from before. */
async function payThrough(agent: https.Agent): Promise<{ status: number; isResumed: boolean }> {
  const request = https.request(`${world.signer.url}/generate-live-payment`, {
    method: 'POST',
    agent,
  });
  request.end(payableRequest());
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const { socket } = response;
  if (!(socket instanceof tls.TLSSocket)) throw new Error('no TLS');
  response.resume();
  await once(response, 'end');
  const { statusCode: status = 0 } = response;
  return { status, isResumed: socket.isSessionReused() };
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('over %s', (version) => {
  const agentWith = (shown: Certificate, keepAlive = false): https.Agent =>
    new https.Agent({ ...world.tls(shown), keepAlive, maxVersion: version, minVersion: version });

  it('a resumed session is its certificate’s', async () => {
    const agent = agentWith(good);
    expect(await payThrough(agent)).toEqual({ status: 200, isResumed: false });
    expect(await payThrough(agent)).toEqual({ status: 200, isResumed: true });
    expect(world.signer.logLines.map(({ principal }) => principal)).toEqual([
      'spiffe-gateway',
      'spiffe-gateway',
    ]);
  });

  it('a resumed session makes no certificate good', async () => {
    const agent = agentWith(forged);
    expect(await payThrough(agent)).toEqual({ status: 401, isResumed: false });
    expect(await payThrough(agent)).toEqual({ status: 401, isResumed: true });
    expect(world.signer.key.digests).toHaveLength(0);
  });
});

it('a certificate that expires ends what its connections may', async () => {
  const soon = new Date(Date.now() + 3_600_000);
  const shortLived = await newCertificate(world.authority, {
    commonName: 'a',
    altNames: [{ type: 6, value: 'spiffe://acme/gateway' }],
    notAfter: soon,
  });
  const agent = new https.Agent({ ...world.tls(shortLived), keepAlive: true });
  try {
    expect(await payThrough(agent)).toMatchObject({ status: 200 });
    world.signer.now = BigInt(soon.getTime()) * 1_000_000n;
    expect(await payThrough(agent)).toMatchObject({ status: 401 });
    expect(world.signer.logLines.at(-1)).toMatchObject({ code: 'CREDENTIAL_EXPIRED' });
  } finally {
    world.signer.now = undefined;
    agent.destroy();
  }
});

it('a client can’t show another certificate on the same connection', async () => {
  const { hostname, port } = new URL(world.signer.url);
  const socket = tls.connect({
    host: hostname,
    port: Number(port),
    maxVersion: 'TLSv1.2',
    ...world.tls(good),
  });
  await once(socket, 'secureConnect');
  const refused = await new Promise<Error | null>((resolve) => {
    socket.on('error', resolve);
    socket.renegotiate({}, (error) => resolve(error));
  });
  socket.destroy();
  expect(refused).toMatchObject({ code: expect.stringMatching(/RENEGOTIATION/) as string });
});

it('the webhook’s answer that still holds is bound to the certificate', async () => {
  const webhook = await startAuthWebhook();
  const another = await newCertificate(world.authority, { commonName: 'b' });
  const signer = await startTestSigner({
    settings: {
      server: {
        listen: '127.0.0.1:0',
        tls: {
          cert: join(world.folder.path, 'server.pem'),
          key: join(world.folder.path, 'server-key.pem'),
          clientCa: join(world.folder.path, 'clients.pem'),
        },
      },
      auth: {
        mtls: [
          { san: 'URI:spiffe://acme/gateway', principal: 'same' },
          { subject: 'CN=b', principal: 'same' },
        ],
        webhook: { url: webhook.url },
      },
    },
  });
  try {
    const begin = Date.now();
    const pay = async (body: object, shown: Certificate) => {
      webhook.asked.length = 0;
      webhook.reply = { status: 200, expiry: BigInt(Math.floor(begin / 1000)) + 3600n };
      const answer = await ask(signer.url, { body: JSON.stringify(body), tls: world.tls(shown) });
      expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
      return { paid: JSON.parse(answer.text) as { state: object }, asked: webhook.asked.length };
    };
    const request = { ...(JSON.parse(payableRequest()) as object), manifestId: 'm' };
    signer.now = BigInt(begin) * 1_000_000n;
    const first = await pay(request, good);
    signer.now += 65_000_000_000n;
    const second = await pay({ ...request, state: first.paid.state }, good);
    signer.now += 65_000_000_000n;
    const third = await pay({ ...request, state: second.paid.state }, another);
    expect([first.asked, second.asked, third.asked]).toEqual([1, 0, 1]);
  } finally {
    await signer.close();
    await webhook.close();
  }
});

describe('server.tls.clientCa', () => {
  it.each([
    {
      what: 'is missing',
      name: 'absent.pem',
      text: undefined,
      says: /absent\.pem can't be read: it does not exist/,
    },
    { what: 'is empty', name: 'empty.pem', text: '', says: /there is none in it/ },
    { what: 'is no PEM', name: 'text.pem', text: 'hello', says: /there is none in it/ },
    {
      what: 'holds a broken certificate',
      name: 'broken.pem',
      text: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      says: /broken\.pem does not hold PEM certificates/,
    },
  ])('that $what is refused by name', async ({ name, text, says }) => {
    if (text !== undefined) world.folder.write(name, text);
    const path = (file: string) => join(world.folder.path, file);
    const tls = {
      setting: 'server.tls',
      cert: path('server.pem'),
      key: path('server-key.pem'),
      clientCa: path(name),
    };
    const started = startApp(() => Promise.reject(new Error('never')), { tls });
    await expect(started).rejects.toThrow(says);
    await expect(started).rejects.toThrow('server.tls.clientCa');
  });
});
