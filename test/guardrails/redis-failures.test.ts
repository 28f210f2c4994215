import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { expectPaid } from '../payments/expectations.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { startSentinels } from '../support/replicated-redis.ts';
import { scrape } from '../telemetry/read-metrics.ts';
import { expectAllRecorded, expectFailure, patiently, readReadiness } from './evidence.ts';
import {
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';
import { budget, budgetPolicy, spendBudget } from './spend-budget.ts';

const tenTickets = `default: allow
rules: [{ id: hourly, window: { per: all, every: 1h, tickets: 10 } }]`;

let redis: RedisServer;
let signer: GuardedSigner;

beforeEach(async () => {
  redis = await startRedisServer();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await signer.close();
  await redis[Symbol.asyncDispose]();
});

async function start(onFailure: 'deny' | 'allow', policy = tenTickets): Promise<void> {
  const store = { kind: 'redis', url: redis.url, onFailure };
  signer = await startGuardedSigner({ policy, settings: { store } });
}

/** Goes on from a session's state, or begins a session. */
async function pay(tickets: number, sealed?: Parameters<typeof nextPayment>[0]) {
  return signer.post(await (sealed ? nextPayment(sealed, tickets) : firstPayment(tickets)));
}

const isReady = async (): Promise<boolean> => (await readReadiness(signer)).status === 200;

const bothDown = {
  status: 503,
  problems: { answers: 'ANSWERS_UNAVAILABLE', ledger: 'LEDGER_UNAVAILABLE' },
};

describe('Redis with onFailure: deny', () => {
  it.each(['stop', 'kill'] as const)(
    'refuses all payments after a %s, and goes on by itself where it was when Redis is back',
    async (end) => {
      await start('deny');
      const { sealed } = expectPaid(await pay(2));
      await redis[end]();
      signer.key.reset();
      for (const state of [undefined, sealed]) {
        expect((await pay(1, state)).status).toBe(503);
        // the first of the things kept there that is asked for
        expect(signer.logLines.findLast((line) => line['code'] !== undefined)?.['code']).toMatch(
          /^(?:LEDGER|ANSWERS|SIGNING_SWITCH)_UNAVAILABLE$/,
        );
      }
      expect(signer.key.digests).toHaveLength(0);
      expect(await readReadiness(signer)).toMatchObject(bothDown);

      await redis.start();
      await expect.poll(isReady, patiently).toBe(true);
      expectPaid(await pay(3, sealed));
      expectFailure(signer, await pay(6), 429, 'WINDOW_EXHAUSTED');
      expectPaid(await pay(5));
      const answered = { dependency: 'answers', outcome: 'ok' };
      const metrics = await scrape(signer.adminUrl);
      const count = 'livepeer_hsm_signer_dependency_duration_seconds_count';
      expect(metrics.sum(count, answered)).toBe(4);
    },
  );

  it('refuses all payments while Redis hangs, and gives back what it had reserved without a word', async () => {
    await start('deny');
    const { sealed } = expectPaid(await pay(2));
    redis.pause();
    signer.key.reset();
    const [first, next] = await Promise.all([pay(8), pay(8, sealed)]);
    redis.resume();
    expect([first.status, next.status]).toEqual([503, 503]);
    expect(signer.key.digests).toHaveLength(0);
    await expect.poll(isReady, patiently).toBe(true);
    await expect.poll(async () => (await pay(8, sealed)).status, patiently).toBe(200);
    expectFailure(signer, await pay(1), 429, 'WINDOW_EXHAUSTED');
  });

  it('hands out no answer that it could not remember, signed as it is', async () => {
    let isLost = false;
    const store = { kind: 'redis', url: redis.url, onFailure: 'deny' };
    signer = await startGuardedSigner({
      policy: tenTickets,
      settings: { store },
      reply: (bytes) => {
        if (isLost) redis.pause();
        return { encoding: 'raw', bytes };
      },
    });
    const { sealed } = expectPaid(await pay(1));
    signer.key.reset();
    isLost = true;
    const request = await nextPayment(sealed, 2);
    expectFailure(signer, await signer.post(request), 503, 'ANSWERS_UNAVAILABLE');
    expect(signer.key.digests).toHaveLength(2);
    isLost = false;
    redis.resume();
    await expect.poll(isReady, patiently).toBe(true);
    const again = await signer.post(request);
    expectPaid(again);
    expect((await signer.post(request)).text).toBe(again.text);
  });

  it('is told what became of a payment whose client leaves as the signer stops, before it ends', async () => {
    const asked = Promise.withResolvers<undefined>();
    const store = { kind: 'redis', url: redis.url, onFailure: 'deny' };
    let isHeld = false;
    signer = await startGuardedSigner({
      policy: tenTickets,
      settings: { store },
      reply: (bytes) => {
        if (!isHeld) return { encoding: 'raw', bytes };
        asked.resolve(undefined);
        return new Promise(() => undefined);
      },
    });
    const { sealed } = expectPaid(await pay(1));
    const request = await nextPayment(sealed, 2);
    isHeld = true;
    const leaving = new AbortController();
    const paying = signer.post(request, {}, leaving.signal).catch(() => undefined);
    await asked.promise;
    // what the signer tells Redis takes a while, one thing after the other
    expect(await redis.command('CLIENT PAUSE 300 WRITE')).toBe('+OK');
    leaving.abort();
    await paying;
    await signer.close();

    await start('deny');
    const answer = await signer.post(request, {}, AbortSignal.timeout(3_000));
    expectPaid(answer);
  });

  it('that hangs as a payment is reserved, and wakes as the signer stops: it is given back before the end', async () => {
    const webhook = await startAuthWebhook();
    onTestFinished(() => webhook.close());
    const store = { kind: 'redis', url: redis.url, onFailure: 'deny' };
    const settings = { store, auth: { webhook: { url: webhook.url } } };
    signer = await startGuardedSigner({ policy: tenTickets, settings });
    expectPaid(await pay(1));
    // it is asked after the key is claimed, and before the ledger is
    webhook.onAsked = () => redis.pause();
    const request = await firstPayment(2);
    const key = { 'Idempotency-Key': 'once' };
    expectFailure(signer, await signer.post(request, key), 503, 'LEDGER_UNAVAILABLE');
    const stopped = signer.close();
    await Promise.race([stopped, delay(300)]);
    redis.resume();
    await stopped;

    webhook.onAsked = () => undefined;
    signer = await startGuardedSigner({ policy: tenTickets, settings });
    expectPaid(await signer.post(request, key, AbortSignal.timeout(3_000)));
    expectPaid(await pay(7));
    expectFailure(signer, await pay(1), 429, 'WINDOW_EXHAUSTED');
  });

  it('keeps the budget, and signs nothing unrecorded, when Redis is killed under load', async () => {
    await start('deny', budgetPolicy);
    const spending = spendBudget([signer.url]);
    await expect.poll(() => signer.key.digests.length, patiently).toBeGreaterThan(budget / 4);
    await redis.kill();
    await redis.start();
    const { tickets, failures } = await spending;
    expect(failures).toBeGreaterThan(0);
    expect(tickets).toBeGreaterThan(budget / 4);
    expect(tickets).toBeLessThanOrEqual(budget);
    expectAllRecorded(signer, join(signer.folder, 'audit'));
  });
});

describe('a Redis that answers and refuses, with onFailure: allow', () => {
  const disconnect = 'CLIENT KILL TYPE normal SKIPME yes';

  it.each([
    ['NOAUTH', `CONFIG SET requirepass other\r\n${disconnect}`],
    ['NOPERM', 'ACL SETUSER default -eval -evalsha'],
    ['READONLY', 'REPLICAOF 127.0.0.1 1'],
    ['NOREPLICAS', 'CONFIG SET min-replicas-to-write 1'],
    ['OOM', 'CONFIG SET maxmemory 1'],
    ['an eviction policy', `CONFIG SET maxmemory-policy allkeys-lru\r\n${disconnect}`],
  ])('lets no payment go on: %s, also while it connects again', async (_, command) => {
    await start('allow');
    expectPaid(await pay(1));
    await redis.command(command);
    await expect.poll(async () => (await pay(1)).status, patiently).toBe(503);
    signer.key.reset();
    for (let round = 0; round < 12; round += 1) {
      const answers = await Promise.all([pay(1), pay(1)]);
      expect(answers.map(({ status }) => status)).toEqual([503, 503]);
    }
    expect(signer.key.digests).toHaveLength(0);
  });

  it('lets no payment go on where the password was wrong from the start', async () => {
    await redis.command('CONFIG SET requirepass right');
    const url = join(mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-')), 'url');
    writeFileSync(url, redis.url.replace('redis://', 'redis://:wrong@'));
    const store = { kind: 'redis', url: `file:${url}`, onFailure: 'allow' };
    signer = await startGuardedSigner({ policy: tenTickets, settings: { store } });
    expectFailure(signer, await pay(1), 503, 'LEDGER_UNAVAILABLE');
    expect(signer.key.digests).toHaveLength(0);
    rmSync(dirname(url), { recursive: true });
  });

  it.each([
    ['WRONGPASS', 'the password is wrong', { username: 'default', password: 'env:WRONG' }],
    ['nobody serves the slot', 'nobody serves the slot of its keys', {}],
  ])('lets no payment go on in a cluster: %s, because %s', async (reason, _, login) => {
    vi.stubEnv('WRONG', 'guess');
    await using node = await startRedisServer('--cluster-enabled', 'yes');
    if ('password' in login) await node.command('ACL SETUSER default >right');
    const cluster = { nodes: [`127.0.0.1:${node.port}`] };
    await expectRefused({ cluster, ...login }, reason);
  });

  it('lets no payment go on where the sentinels know of no such master', async () => {
    await using servers = await startSentinels(0);
    const sentinel = { ...(servers.store['sentinel'] as object), master: 'speding' };
    await expectRefused({ sentinel }, 'know no master named speding');
  });

  async function expectRefused(servers: object, reason: string): Promise<void> {
    const store = { kind: 'redis', ...servers, onFailure: 'allow' };
    signer = await startGuardedSigner({ policy: tenTickets, settings: { store } });
    expectFailure(signer, await pay(1), 503, 'LEDGER_UNAVAILABLE');
    expect(signer.key.digests).toHaveLength(0);
    expect(signer.logLines).toContainEqual(
      expect.objectContaining({
        msg: "Redis can't be reached",
        reason: expect.stringContaining(reason) as string,
      }),
    );
  }
});

describe('Redis with onFailure: allow', () => {
  it('pays without windows and without memory while Redis is down, says so, and limits again when it is back', async () => {
    await start('allow');
    const { sealed } = expectPaid(await pay(2));
    await redis.stop();
    const during = expectPaid(await pay(20, sealed));
    expectPaid(await pay(20, during.sealed));
    expect(await readReadiness(signer)).toMatchObject(bothDown);
    const warnings = signer.logLines.filter(({ level }) => level === 40).map(({ msg }) => msg);
    expect(warnings).toContain('payments go on without windows');
    expect(warnings).toContain('payments go on without a memory of answers');
    expectAllRecorded(signer, join(signer.folder, 'audit'));

    await redis.start();
    await expect.poll(isReady, patiently).toBe(true);
    expectFailure(signer, await pay(9), 429, 'WINDOW_EXHAUSTED');
    expectPaid(await pay(8, sealed));
  });

  it('pays within the request’s deadline while Redis hangs', async () => {
    await start('allow');
    const { sealed } = expectPaid(await pay(2));
    redis.pause();
    expectPaid(await pay(20, sealed));
    expect(await readReadiness(signer)).toMatchObject(bothDown);
    redis.resume();
    await expect.poll(isReady, patiently).toBe(true);
  });
});
