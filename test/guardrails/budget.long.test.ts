import { describe, expect, it } from 'vitest';
import { Folder } from '../cli/cli.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { startServeProcess } from './serve-process.ts';
import { budgetPolicy, expectBudgetKept, spendBudget } from './spend-budget.ts';

describe('64 clients with a budget of 1,000 tickets for all together', () => {
  it.each(Array.from({ length: 10 }, (_, index) => index + 1))(
    'use it up and no more, over two processes with one Redis, time %i',
    async () => {
      using folder = new Folder();
      await using redis = await startRedisServer();
      const store = { kind: 'redis', url: redis.url };
      const options = { policy: budgetPolicy, store };
      await using one = await startServeProcess(folder, { ...options, audit: 'audit-one' });
      await using two = await startServeProcess(folder, { ...options, audit: 'audit-two' });
      const spent = await spendBudget([one.url, two.url], one.tokenExpiration);
      expectBudgetKept(spent);
      expect(spent.failures).toBe(0);
      expect(one.ticketSignatures() + two.ticketSignatures()).toBe(spent.tickets);
      expect(one.ticketSignatures()).toBeGreaterThan(0);
      expect(two.ticketSignatures()).toBeGreaterThan(0);
    },
  );
});
