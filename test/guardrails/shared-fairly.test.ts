import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type AuthWebhook, startAuthWebhook } from '../payments/auth-webhook.ts';
import { expectPaid, expectRefusal } from '../payments/expectations.ts';
import type { Changes, Members } from '../payments/request-builder.ts';
import { type GuardedSigner, as, firstPayment, startGuardedSigner } from './guarded-signer.ts';

let signer: GuardedSigner;
let webhook: AuthWebhook | undefined;
afterEach(async () => {
  await signer.close();
  await webhook?.close();
  webhook = undefined;
});

const deniedRecords = (): number =>
  (
    readFileSync(join(signer.folder, 'audit/server-1/000001.jsonl'), 'utf8').match(/"denied"/g) ??
    []
  ).length;

describe('the key', () => {
  it('serves a tenant in turns with another that has 60 payments waiting', async () => {
    const letGo = Promise.withResolvers<undefined>();
    let isHeld = false;
    signer = await startGuardedSigner({
      concurrency: 1,
      reply: async (bytes) => {
        if (isHeld) await letGo.promise;
        return { encoding: 'raw', bytes };
      },
    });
    const waitingCalls = async (): Promise<number> => {
      const metrics = await (await fetch(`${signer.adminUrl}/metrics`)).text();
      return Number(/^livepeer_hsm_signer_key_calls_waiting\b.* (\d+)$/m.exec(metrics)?.[1]);
    };
    isHeld = true;
    const done: string[] = [];
    const pay = async (authId: string): Promise<void> => {
      expectPaid(await signer.post(await firstPayment(1), as(authId)));
      done.push(authId);
    };
    const greedy = Array.from({ length: 60 }, () => pay('greedy:1'));
    // a payment takes two calls, and one is under way
    await expect.poll(waitingCalls).toBe(2 * 60 - 1);
    const modest = Array.from({ length: 4 }, () => pay('modest:1'));
    await expect.poll(waitingCalls).toBe(2 * 64 - 1);
    letGo.resolve(undefined);
    await Promise.all(modest);
    expect(done.filter((authId) => authId === 'greedy:1').length).toBeLessThan(30);
    await Promise.all(greedy);
  });
});

describe('names that callers invent', () => {
  it.each<[string, Members, RegExp]>([
    ['app', { app: 'é'.repeat(128) }, /app must not have more than 255 bytes/],
    ['manifest id', { ManifestID: 'x'.repeat(256) }, /manifestID must not have more than 255/],
  ])('have a limited length: %s', async (_, body, message) => {
    signer = await startGuardedSigner();
    expectRefusal(signer, await signer.post(await firstPayment(1, { body })), 400, message);
  });

  it('may be as long as that', async () => {
    signer = await startGuardedSigner();
    const body = { app: 'x'.repeat(255), ManifestID: 'x'.repeat(255) };
    expectPaid(await signer.post(await firstPayment(1, { body })));
  });

  it.each<[string, Changes]>([
    ['auth token', { authToken: { sessionId: 'x'.repeat(33_000) } }],
    ['seed', { ticketParams: { seed: new Uint8Array(33_000).fill(1) } }],
  ])('make no answer too large to be kept: %s', async (_, changes) => {
    signer = await startGuardedSigner();
    const answer = await signer.post(await firstPayment(1, changes));
    expectRefusal(signer, answer, 400, /an answer may copy 32768/);
  });
});

describe('where only the webhook knows who asks', () => {
  async function start(): Promise<AuthWebhook> {
    webhook = await startAuthWebhook();
    const auth = { webhook: { url: webhook.url } };
    const policy = 'default: allow\nrules: [{ id: small, limit: { tickets: 2 } }]';
    const prices = { maxPrice: { lv2v: '1 wei', live: '1 wei', fixed: '1 wei' } };
    signer = await startGuardedSigner({ policy, settings: { auth, prices } });
    return webhook;
  }

  it('nothing is recorded of what is refused before it agrees, nor is it asked', async () => {
    const { asked } = await start();
    const dear: Changes = { priceInfo: { pricePerUnit: 10n ** 15n, pixelsPerUnit: 1n } };
    expect((await signer.post(await firstPayment(1, dear))).status).toBe(481);
    for (const body of [{ app: 'x'.repeat(256) }, { capabilities: 'AA' }, { type: 'none' }]) {
      expect((await signer.post(await firstPayment(1, { body }))).status).toBe(400);
    }
    expect(asked).toHaveLength(0);
    expect(deniedRecords()).toBe(0);
  });

  it('an auth_id that is no principal’s name is refused', async () => {
    const { asked } = await start();
    for (const authId of ['x'.repeat(256), 'acme:a\nb']) {
      if (webhook) webhook.reply = { status: 200, auth_id: authId };
      const body = { type: 'fixed' };
      const cheap: Changes = { body, priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 1n } };
      const answer = await signer.post(await firstPayment(1, cheap));
      expect([answer.status, answer.text]).toEqual([
        502,
        expect.stringContaining('auth_id is not 1 to 255 characters'),
      ]);
    }
    expect(asked).toHaveLength(2);
  });
});
