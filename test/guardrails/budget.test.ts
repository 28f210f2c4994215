import { afterEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { Folder } from '../cli/cli.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { type GuardedOptions, type GuardedSigner, startGuardedSigner } from './guarded-signer.ts';
import { startServeProcess } from './serve-process.ts';
import { budgetPolicy, expectBudgetKept, spendBudget } from './spend-budget.ts';
import { createRandom } from '../support/random.ts';

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

  it('get back what payments that failed had reserved, over two instances with one Redis', async () => {
    await using redis = await startRedisServer();
    await start({ settings: inRedis(redis), reply: unreliable.reply });
    await start({ settings: inRedis(redis), reply: unreliable.reply });
    unreliable.isArmed = true;
    const spent = await spendBudget(urls());
    expectBudgetKept(spent);
    expect(spent.failures).toBeGreaterThan(0);
  });

  it('get back what payments that failed had reserved, with the embedded ledger', async () => {
    await start({ reply: unreliable.reply });
    unreliable.isArmed = true;
    const spent = await spendBudget(urls());
    expectBudgetKept(spent);
    expect(spent.failures).toBeGreaterThan(0);
  });
});
