import { pino } from 'pino';
import { checksum } from 'ox/Address';
import { afterEach, describe, expect, it } from 'vitest';
import { anonymous, authIdOf, principalOfAuthId } from '../../src/auth/principal.ts';
import type { KeyConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { type RunningSigner, startSigner } from '../../src/main.ts';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { createTestKey } from '../support/test-key.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';
import { ask, untilTaken } from './ask.ts';
import { KeyFile } from './auth-world.ts';

describe('the principal of an auth id', () => {
  it.each([
    { authId: 'client-1:user-7', tenant: 'client-1' },
    { authId: 'client-1:user:7', tenant: 'client-1' },
    { authId: 'user-7', tenant: '' },
    { authId: ':user-7', tenant: '' },
  ])('$authId is of tenant "$tenant"', ({ authId, tenant }) => {
    expect(principalOfAuthId(authId)).toEqual({ id: authId, tenant, attributes: {} });
  });

  it('is nobody’s when there is none', () => {
    expect(principalOfAuthId('')).toBe(anonymous);
  });

  it('is written by tenant and id, and as nothing for nobody', () => {
    expect(authIdOf({ id: 'alice', tenant: 'acme', attributes: {} })).toBe('acme:alice');
    expect(authIdOf({ id: 'alice', tenant: '', attributes: {} })).toBe(':alice');
    expect(authIdOf(anonymous)).toBe('');
  });
});

describe('a signer that asks for API keys', () => {
  let signer: TestSigner;
  const open: Disposable[] = [];
  const start = async (auth: object = {}): Promise<KeyFile> => {
    const folder = new Folder();
    open.push(folder);
    const file = new KeyFile(folder);
    signer = await startTestSigner({
      settings: { auth: { apiKeys: { file: file.path }, ...auth } },
    });
    return file;
  };
  afterEach(async () => {
    await signer.close();
    for (const folder of open.splice(0)) folder[Symbol.dispose]();
  });

  it('protects /sign-orchestrator-info where it is told to', async () => {
    const file = await start({ protectOrchestratorInfo: true });
    const key = file.add({ principal: 'gateway' });
    await untilTaken(signer.url, key);
    const path = '/sign-orchestrator-info';
    const refused = await ask(signer.url, { path });
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toBe('Bearer');
    const headers = { Authorization: `Bearer ${key}` };
    expect((await ask(signer.url, { path, headers })).status).toBe(200);
    for (const path of ['/healthz', '/readyz']) {
      expect((await ask(signer.url, { path })).status).toBe(200);
    }
  });

  it('asks a trusted proxy for one too', async () => {
    await start({ trustedProxies: ['127.0.0.1'] });
    const answer = await signer.post(payableRequest(), { 'Signer-Auth-Id': 'acme:gateway' });
    expect(answer.status).toBe(401);
    expect(signer.key.digests).toHaveLength(0);
  });

  it('keeps a session to the principal it began with, whichever of its keys is sent', async () => {
    const file = await start();
    const keys = ['gateway', 'gateway', 'thief'].map((principal) => file.add({ principal }));
    await untilTaken(signer.url, keys[2] ?? '');
    const as = (index: number) => ({ 'X-Api-Key': keys[index] ?? '' });
    const first = await signer.post(payableRequest(), as(0));
    const { state } = JSON.parse(first.text) as { state: object };
    const request = JSON.parse(payableRequest()) as object;
    const next = JSON.stringify({ ...request, ManifestID: 'm', state });
    signer.now = BigInt(Date.now() + 70_000) * 1_000_000n;
    signer.key.reset();
    const stolen = await signer.post(next, as(2));
    expect(stolen.status).toBe(403);
    expect(stolen.text).toContain('the session belongs to another principal');
    expect(signer.key.digests).toHaveLength(0);
    expect((await signer.post(next, as(1))).status).toBe(200);
  });

  it('names who pays by tenant and principal, where nobody else does, and breaks no running session', async () => {
    const webhook = await startAuthWebhook();
    try {
      const file = await start({ webhook: { url: webhook.url } });
      const key = file.add({ principal: 'gateway', tenant: 'acme' });
      const loner = file.add({ principal: 'loner' });
      await untilTaken(signer.url, loner);
      const pay = async (body: string, apiKey = key): Promise<string> => {
        const answer = await signer.post(body, { 'X-Api-Key': apiKey });
        expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
        const { state } = JSON.parse(answer.text) as { state: { State: string } };
        next = JSON.stringify({ ...request, ManifestID: 'm', state });
        return authIdIn(state.State);
      };
      const request = JSON.parse(payableRequest()) as object;
      let next = '';
      let later = 0;
      const goOn = (): Promise<string> => {
        later += 70_000;
        signer.now = BigInt(Date.now() + later) * 1_000_000n;
        return pay(next);
      };
      expect(await pay(payableRequest(), loner)).toBe(':loner');
      expect(await pay(payableRequest())).toBe('acme:gateway');
      expect(await goOn()).toBe('acme:gateway');
      // the webhook begins to name the payer, and forgets it again
      webhook.reply = { status: 200, auth_id: 'client:user' };
      expect(await goOn()).toBe('client:user');
      webhook.reply = { status: 200 };
      expect(await goOn()).toBe('client:user');
      webhook.reply = { status: 200, auth_id: 'client:other' };
      later += 70_000;
      signer.now = BigInt(Date.now() + later) * 1_000_000n;
      expect((await signer.post(next, { 'X-Api-Key': key })).status).toBe(500);
      expect(signer.logLines.at(-1)).toMatchObject({ code: 'AUTH_ID_CHANGED' });
    } finally {
      await webhook.close();
    }
  });

  it('has the webhook agree to each of a principal’s keys anew', async () => {
    const webhook = await startAuthWebhook();
    try {
      const file = await start({ webhook: { url: webhook.url } });
      const keys = ['gateway', 'gateway'].map((principal) => file.add({ principal }));
      await untilTaken(signer.url, keys[1] ?? '');
      webhook.reply = { status: 200, expiry: Math.floor(Date.now() / 1000) + 3_600 };
      const request = JSON.parse(payableRequest()) as object;
      let body = payableRequest();
      for (const [payment, [key, asked]] of [
        [0, 1],
        [0, 1],
        [1, 2],
      ].entries()) {
        signer.now = BigInt(Date.now() + payment * 70_000) * 1_000_000n;
        const answer = await signer.post(body, { 'X-Api-Key': keys[key ?? 0] ?? '' });
        expect(answer.status).toBe(200);
        expect(webhook.asked).toHaveLength(asked ?? 0);
        const { state } = JSON.parse(answer.text) as { state: object };
        body = JSON.stringify({ ...request, ManifestID: 'm', state });
      }
    } finally {
      await webhook.close();
    }
  });

  it('leaves other bearer tokens to the auth webhook', async () => {
    const webhook = await startAuthWebhook();
    try {
      const file = await start({ webhook: { url: webhook.url } });
      const key = file.add({ principal: 'gateway' });
      await untilTaken(signer.url, key);
      const token = 'Bearer eyJhbGciOiJub25lIn0.e30.';
      const body = payableRequest();
      expect((await signer.post(body, { Authorization: token })).status).toBe(401);
      expect(webhook.asked).toHaveLength(0);
      const both = { Authorization: token, 'X-Api-Key': key };
      expect((await signer.post(body, both)).status).toBe(200);
      expect(webhook.asked[0]?.headers['Authorization']).toEqual([token]);
    } finally {
      await webhook.close();
    }
  });

  it('names the principal of a refused payment in the log', async () => {
    const file = await start();
    const key = file.add({ principal: 'gateway', tenant: 'acme' });
    await untilTaken(signer.url, key);
    expect((await signer.post('{}', { 'X-Api-Key': key })).status).toBe(400);
    expect(signer.logLines.at(-1)).toMatchObject({
      msg: 'request refused',
      code: 'ORCHESTRATOR_MISSING',
      principal: 'gateway',
      tenant: 'acme',
    });
    expect(JSON.stringify(signer.logLines)).not.toContain(key.slice(-43));
  });
});

it('a signer that asks for nothing takes what looks like credentials for what it is: nothing', async () => {
  const signer = await startTestSigner();
  try {
    const headers = { Authorization: 'Bearer lhs_x', 'X-Api-Key': 'y' };
    expect((await signer.post(payableRequest(), headers)).status).toBe(200);
  } finally {
    await signer.close();
  }
});

describe('the attribute payer', () => {
  const active = createTestKey(`0x${'0a'.repeat(32)}`);
  const retiring = createTestKey(`0x${'0b'.repeat(32)}`);
  const stranger = `0x${'12'.repeat(20)}`;
  let signer: RunningSigner;
  const folder = new Folder();
  const file = new KeyFile(folder);

  async function start(): Promise<{ activeAddress: string; retiringAddress: string }> {
    const keys = [active, retiring].map(({ plugin }, index): KeyConfig => {
      const isRetiring = index === 1;
      const name = `keys.${index}:test-key`;
      return { name, plugin, section: {}, generateIfMissing: false, isRetiring };
    });
    const settings = configSchema.parse({
      server: { listen: '127.0.0.1:0' },
      keys: [{ provider: 'test-key' }, { provider: 'test-key', retiring: true }],
      chain: vectorChain,
      auth: { apiKeys: { file: file.path } },
    });
    const [first, ...others] = keys;
    if (!first) throw new Error('no key');
    const config = { settings, keys: [first, ...others] as const, resolvePath: (p: string) => p };
    signer = await startSigner(config, pino({ level: 'silent' }));
    const { keys: shown } = await signer.status();
    return {
      activeAddress: shown[0]?.address ?? '',
      retiringAddress: shown[1]?.address ?? '',
    };
  }

  afterEach(async () => {
    await signer.close();
    folder[Symbol.dispose]();
  });

  it('has that key pay for a principal, whatever the request asks for', async () => {
    const { activeAddress, retiringAddress } = await start();
    const payer = retiringAddress.toLowerCase();
    const pinned = file.add({ principal: 'old', attributes: { payer } });
    const free = file.add({ principal: 'free' });
    const lost = file.add({ principal: 'lost', attributes: { payer: stranger } });
    await untilTaken(signer.url, lost);
    const asking = async (key: string, named?: string) => {
      const headers = { 'X-Api-Key': key, ...(named && { 'Livepeer-Payer-Address': named }) };
      const path = '/sign-orchestrator-info';
      const { status, text } = await ask(signer.url, { path, headers });
      return status === 200 ? (JSON.parse(text) as { address: string }).address : status;
    };
    expect(await asking(free)).toBe(activeAddress);
    expect(await asking(free, payer)).toBe(retiringAddress);
    expect(await asking(pinned)).toBe(retiringAddress);
    expect(await asking(pinned, checksum(payer as `0x${string}`))).toBe(retiringAddress);
    expect(await asking(pinned, activeAddress)).toBe(403);
    expect(await asking(pinned, 'nonsense')).toBe(403);
    expect(await asking(lost)).toBe(400);

    for (const key of [active, retiring]) key.reset();
    const pay = (apiKey: string, named = {}) =>
      ask(signer.url, { body: payableRequest(), headers: { 'X-Api-Key': apiKey, ...named } });
    expect(await pay(pinned, { 'Livepeer-Payer-Address': activeAddress })).toMatchObject({
      status: 403,
    });
    expect(await pay(lost)).toMatchObject({ status: 400 });
    expect([active.digests.length, retiring.digests.length]).toEqual([0, 0]);
    expect(await pay(pinned)).toMatchObject({ status: 200 });
    expect(active.digests).toHaveLength(0);
    expect(retiring.digests.length).toBeGreaterThan(0);
  });
});

function authIdIn(state: string): string {
  return (JSON.parse(Buffer.from(state, 'base64').toString()) as { AuthID: string }).AuthID;
}
