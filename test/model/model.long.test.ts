import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testSeed } from '../support/random.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { replayDrawn } from './replay.ts';
import { search } from './spin.ts';

describe('the model of instances that share a Redis', () => {
  it.each([
    ['three attempts at one request, and any two faults', { CAST: 0, FAULTS: 2 }],
    [
      'an attempt, its repeat and a fork at the other instance, and any one fault',
      { CAST: 1, FAULTS: 1 },
    ],
    [
      'an attempt, a fork at its own instance and a repeat at the other, and any one fault',
      { CAST: 2, FAULTS: 1 },
    ],
    ['two attempts that fork, and any three faults', { CAST: 3, N: 2, FAULTS: 3 }],
  ])('is kept by %s', async (_, bounds) => {
    const { violation, states, transitions } = await search(bounds, { optimize: 2 });
    console.log(`${JSON.stringify(bounds)}: ${states} states, ${transitions} transitions`);
    expect(violation).toBeUndefined();
    expect(states).toBeGreaterThan(1_000_000);
  });

  it.each([
    ['RELEASE_WITHOUT_RESERVATION', 'signatures<=master.spent'],
    ['FORGET_WITHOUT_TOKEN', 'isHolding'],
    ['NOT_ACKNOWLEDGED', 'replica.answer'],
    ['SENT_BEFORE_REMEMBERED', 'given'],
    ['RELEASED_BEFORE_ABORT', 'signatures<=master.spent'],
    ['LOGGED_AFTER_ANSWER', 'logged'],
    ['NONCES_BACK_AFTER_KEY', 'isSigned'],
  ])('finds %s', async (plant, assertion) => {
    const { violation } = await search({ FAULTS: 2, [`PLANT_${plant}`]: 1 });
    expect(violation).toContain(assertion);
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
    for (let trail = 0; trail < 1_000; trail += 1) {
      steps += await replayDrawn((testSeed % 1_000_000) * 1_000 + trail, redis.url);
    }
    console.log(`1000 trails, ${steps} steps`);
  });
});
