import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { replay, replayDrawn } from './replay.ts';
import { search } from './spin.ts';

describe('the model of instances that share a Redis', () => {
  it('is kept by three attempts at one request, and any one fault', async () => {
    const { violation, states } = await search({ FAULTS: 1 });
    expect(violation).toBeUndefined();
    expect(states).toBeGreaterThan(100_000);
  });

  it('finds a reservation that is released before the calls of the key are aborted', async () => {
    const { violation, trail } = await search({ FAULTS: 1, PLANT_RELEASED_BEFORE_ABORT: 1 });
    expect(violation).toContain('signatures<=master.spent');
    expect(trail.join('\n')).toMatch(/stopped (\d) 1\n(.*\n)*run \1 Release done/);
  });
});

describe('the code', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedisServer('--appendonly', 'no');
  });
  afterAll(async () => {
    await redis[Symbol.asyncDispose]();
  });

  it('does what the model does, step by step', async () => {
    let steps = 0;
    for (let seed = 1; seed <= 40; seed += 1) steps += await replayDrawn(seed, redis.url);
    expect(steps).toBeGreaterThan(500);
  });

  it.each([
    ['another kind of claim', ['begins 0', 'run 0 Claim fork 0 0 1 0']],
    ['another nonce', ['begins 0', 'run 0 Claim new 0 1 1 0']],
    ['another mark', ['begins 0', 'run 0 Claim new 0 0 2 0']],
    [
      'another total of the window',
      [
        'begins 0',
        'run 0 Claim new 0 0 1 0',
        'ack 0 Claim',
        'claimed 0 new 0',
        'run 0 Reserve reserved 0 0 1 2',
      ],
    ],
  ])('is told from a model that has %s', async (_, trail) => {
    const replayed = replay(trail, { cast: 0, limit: 2n, nonces: 3 }, redis.url);
    await expect(replayed).rejects.toThrow(/the model has “.*”, and the code/);
  });
});
