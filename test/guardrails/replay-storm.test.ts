import { describe, it } from 'vitest';
import { startRedisServer } from '../support/redis-server.ts';
import { expectOneAnswer } from './replay-storm.ts';

const total = 2_000;

describe('one state sent thousands of times at once', () => {
  it('is signed for once, and answered alike each time, by one instance', async () => {
    await expectOneAnswer(total, [{}]);
  });

  it('is signed for once, and answered alike each time, by two instances with one Redis', async () => {
    await using redis = await startRedisServer();
    const settings = { store: { kind: 'redis', url: redis.url } };
    await expectOneAnswer(total, [{ settings }, { settings }]);
  });
});
