import { afterEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { Folder } from '../cli/cli.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import {
  type GuardedOptions,
  type GuardedSigner,
  firstPayment,
  startGuardedSigner,
} from './guarded-signer.ts';
import { startServeProcess } from './serve-process.ts';
import { budgetPolicy, countTickets, expectBudgetKept, spendBudget } from './spend-budget.ts';
import { createRandom } from '../support/random.ts';
import { soon } from '../support/soon.ts';

const random = createRandom('failures of the key');

const signers: GuardedSigner[] = [];
afterEach(async () => {
  unreliable.isArmed = false;
  await Promise.all(signers.splice(0).map((signer) => signer.close()));
});

async function start(options: GuardedOptions = {}): Promise<GuardedSigner> {
  const signer = await startGuardedSigner({ policy: budgetPolicy, ...options });
  signers.push(signer);
  return signer;
}

function keyCalls(): number {
  return signers.reduce((sum, { key }) => sum + key.digests.length, 0);
}

function ticketCalls(): number {
  return signers.reduce((sum, { key }) => sum + countTickets(key.digests), 0);
}

const urls = (): string[] => signers.map(({ url }) => url);

const inRedis = ({ url }: RedisServer) => ({ store: { kind: 'redis', url } });

/** A key that fails for one signature in five, after it has made it, once `isArmed`. */
const unreliable = {
  isArmed: false,
  reply: (bytes: Uint8Array) => {
    if (unreliable.isArmed && random.chance(1 / 5)) {
      throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device lost its session');
    }
    return { encoding: 'raw' as const, bytes };
  },
};

/** Few calls at once, so that some of a payment's have not begun when another fails. */
const slowlyFailing = { concurrency: 4, reply: unreliable.reply };

describe('64 clients with a budget of 1,000 tickets for all together', () => {
  it('use it up and no more, over two instances with one Redis', async () => {
    await using redis = await startRedisServer();
    await start({ settings: inRedis(redis) });
    await start({ settings: inRedis(redis) });
    const spent = await spendBudget(urls());
    expectBudgetKept(spent);
    expect(spent.failures).toBe(0);
    expect(keyCalls()).toBe(spent.tickets + spent.sessions);
    for (const { key } of signers) expect(key.digests.length).toBeGreaterThan(0);
  });

  it('use it up and no more, on one instance with the embedded ledger', async () => {
    await start();
    const spent = await spendBudget(urls());
    expectBudgetKept(spent);
    expect(spent.failures).toBe(0);
    expect(keyCalls()).toBe(spent.tickets + spent.sessions);
  });

  it('use it up and no more, with two worker processes and one ledger file', async () => {
    using folder = new Folder();
    await using signer = await startServeProcess(folder, { workers: 2, policy: budgetPolicy });
    const spent = await spendBudget([signer.url], signer.tokenExpiration);
    expectBudgetKept(spent);
    expect(spent.failures).toBe(0);
    expect(signer.ticketSignatures()).toBe(spent.tickets);
    expect(signer.payingWorkers()).toBe(2);
  });

  it('have the signatures of payments that failed counted, and get back the rest, over two instances with one Redis', async () => {
    await using redis = await startRedisServer();
    const failing = { settings: inRedis(redis), ...slowlyFailing };
    await start(failing);
    await start(failing);
    unreliable.isArmed = true;
    const spent = await spendBudget(urls());
    expectBudgetKept(spent, ticketCalls());
    expect(spent.failures).toBeGreaterThan(0);
  });

  it('have the signatures of payments that failed counted, and get back the rest, with the embedded ledger', async () => {
    await start(slowlyFailing);
    unreliable.isArmed = true;
    const spent = await spendBudget(urls());
    expectBudgetKept(spent, ticketCalls());
    expect(spent.failures).toBeGreaterThan(0);
  });
});

describe('clients that go away while the key is at work', () => {
  const window = 100n;
  const policy = `default: allow
rules: [{ id: small, window: { per: all, every: 1h, tickets: ${window} } }]`;

  it.each(['embedded', 'redis'] as const)(
    'use the budget for the signatures that were begun, and get back the rest: %s',
    async (store) => {
      await using redis = store === 'redis' ? await startRedisServer() : undefined;
      const settings = redis && { settings: inRedis(redis) };
      const signer = await start({ policy, concurrency: 4, delayMs: 5, ...settings });
      const url = `${signer.url}/generate-live-payment`;
      const leaveWhileSigning = async (): Promise<boolean> => {
        const gone = new AbortController();
        const before = signer.key.digests.length;
        const asked = fetch(url, {
          method: 'POST',
          body: await firstPayment(10),
          signal: gone.signal,
        });
        const isAnswered = asked.then(
          () => true,
          () => false,
        );
        const isAtWork = soon(() => expect(signer.key.digests.length).toBeGreaterThan(before + 4));
        await Promise.race([isAnswered, isAtWork.catch(() => undefined)]);
        gone.abort();
        return isAnswered;
      };
      let aborted = 0;
      for (let round = 0; round < 15; round += 1) {
        const answered = await Promise.all(Array.from({ length: 12 }, leaveWhileSigning));
        aborted += answered.filter((isAnswered) => !isAnswered).length;
        expect(ticketCalls()).toBeLessThanOrEqual(Number(window));
      }
      expect(aborted).toBeGreaterThan(3);
      await soon(async () => {
        expect((await signer.post(await firstPayment(1))).status).toBe(429);
        expect(ticketCalls()).toBe(Number(window));
      });
    },
  );
});
