import { createHash } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AnswerMemory } from '../../src/session/answer-memory.ts';
import type { NonceDemand } from '../../src/session/nonce-demand.ts';
import { connectRedis } from '../../src/store/redis.ts';
import { failOpenAnswers } from '../../src/session/fail-open-answers.ts';
import { createRedisAnswers } from '../../src/session/redis-answers.ts';
import { claimScript } from '../../src/session/redis-scripts.ts';
import { startRedisServer } from '../support/redis-server.ts';
import {
  describeAnswers,
  describeSharedRoom,
  hashOf,
  holder,
  never,
  newNonces,
  newState,
  otherPayment,
  payment,
  requireNew,
  storm,
} from './answers-cases.ts';

const ttlMs = 600_000;

async function open(
  { requestDeadlineMs = 20_000, maxBytes = 1_000_000 },
  ...redisArgs: readonly string[]
) {
  const server = await startRedisServer(...redisArgs);
  const connect = () => connectRedis({ url: server.url, log: () => undefined });
  const [first, second] = [await connect(), await connect()];
  const options = { keyPrefix: 'test:', ttlMs, maxBytes, requestDeadlineMs };
  return {
    server,
    redis: first,
    memory: createRedisAnswers({ ...options, redis: first }),
    other: createRedisAnswers({ ...options, redis: second }),
    async [Symbol.asyncDispose]() {
      await Promise.all([first.close(), second.close()]);
      await server[Symbol.asyncDispose]();
    },
  };
}

async function openForOne(requestDeadlineMs?: number) {
  const tested = await open({ requestDeadlineMs });
  onTestFinished(() => tested[Symbol.asyncDispose]());
  return tested;
}

describeAnswers('the memory of answers in Redis', () => open({}, '--appendonly', 'no'));

describeSharedRoom('the room for answers in Redis', () =>
  open({ maxBytes: 120_000 }, '--appendonly', 'no'),
);

it('keeps an answer for its time, and twice as long that the state was used', async () => {
  const { memory, other, redis } = await openForOne();
  const state = newState();
  await requireNew(
    await memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  ).remember('an answer');
  const [answerKey, useKey] = [`test:answer:${state}:${payment}`, `test:use:${state}`];
  const leftMs = (key: string): Promise<unknown> =>
    redis.run("return redis.call('PTTL', KEYS[1])", [key], []);
  expect(Math.abs(Number(await leftMs(answerKey)) - ttlMs)).toBeLessThan(10_000);
  expect(Math.abs(Number(await leftMs(useKey)) - 2 * ttlMs)).toBeLessThan(10_000);

  await redis.run("return redis.call('DEL', KEYS[1])", [answerKey], []);
  for (const request of [payment, otherPayment]) {
    const claim = requireNew(
      await other.claim({ use: state, requestHash: request, nonces: undefined, holder }, never),
    );
    expect(claim.isFork).toBe(true);
    await claim.forget('unused');
  }
});

it('gives back no nonces that somebody else was given after Redis had lost them', async () => {
  const { memory, other, server } = await openForOne();
  const nonces = newNonces();
  const claim = async (from: typeof memory) =>
    requireNew(await from.claim({ use: newState(), requestHash: payment, nonces, holder }, never));
  const lost = await claim(memory);
  expect(await server.command('FLUSHALL')).toBe('+OK');
  const second = await claim(other);
  expect(second.nonces).toEqual(lost.nonces);
  await lost.forget('unused');
  const third = await claim(other);
  const lastOf = (taken: typeof third) =>
    taken.nonces?.kind === 'taken' ? taken.nonces.lastNonce : undefined;
  expect(lastOf(third)).toBe((lastOf(second) ?? 0) + nonces.count);
  await third.forget('unused');
  expect(lastOf(await claim(memory))).toBe(lastOf(third));
});

it('leaves nothing behind for a request that came to nothing', async () => {
  const { memory, redis } = await openForOne();
  await requireNew(
    await memory.claim({ use: newState(), requestHash: payment, nonces: undefined, holder }, never),
  ).forget('unused');
  expect(await redis.run("return redis.call('DBSIZE')", [], [])).toBe(0);
});

describe('in Redis', () => {
  const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) ";

  async function openToLook() {
    const { redis, ...tested } = await openForOne();
    const command = (script: string, keys: readonly string[], args: readonly string[] = []) =>
      redis.run(script, keys, args);
    return {
      ...tested,
      redis,
      command,
      size: () => command("return redis.call('DBSIZE')", []),
      leftMs: async (key: string) =>
        Number(await command("return redis.call('PTTL', KEYS[1])", [key])),
      /** in how many ms a holder's ticket session is forgotten; null for one that is not the holder's */
      heldMs: async (key: string, member: string) => {
        const score = "local s = redis.call('ZSCORE', KEYS[1], ARGV[1]) ";
        const left = await command(`${now}${score}return s and s - now`, [key], [member]);
        return left === null ? null : Number(left);
      },
    };
  }

  const within = (left: number | null, ms: number): void => {
    expect(left).toBeLessThanOrEqual(ms);
    expect(left).toBeGreaterThan(ms - 30_000);
  };
  const stateless = { use: undefined, requestHash: payment, holder };

  it('nonces are remembered for the longest lifetime that was asked for, and counted to whoever came first', async () => {
    const { memory, leftMs, heldMs } = await openToLook();
    const nonces = newNonces();
    const mark = `test:nonces:${nonces.ticketSession}`;
    const take = async (changes: Partial<NonceDemand>) =>
      requireNew(await memory.claim({ ...stateless, nonces: { ...nonces, ...changes } }, never));
    const expectKept = async (ms: number) => {
      within(await leftMs(mark), ms);
      within(await heldMs('test:held-nonces:acme', nonces.ticketSession), ms);
      within(await leftMs('test:held-nonces:acme'), ms);
    };
    await take({ lifetimeMs: 600_000 });
    await expectKept(600_000);
    await take({ lifetimeMs: 1_200_000 });
    await expectKept(1_200_000);
    const last = await take({ lifetimeMs: 300_000, holder: 'other' });
    expect(await heldMs('test:held-nonces:other', nonces.ticketSession)).toBeNull();
    within(await leftMs(mark), 1_200_000);
    const short = newNonces();
    await take({ ...short, lifetimeMs: 100_000 });
    within(await leftMs('test:held-nonces:acme'), 1_200_000);
    // what is given back has been known for as long
    await last.forget('unused');
    within(await leftMs(mark), 1_200_000);
    expect((await take({})).nonces).toEqual({ kind: 'taken', lastNonce: 6, isFirst: false });
  });

  it('a holder’s ticket sessions that have run out are forgotten', async () => {
    const { memory, command, heldMs } = await openToLook();
    const [first, second] = [newNonces(), newNonces()];
    requireNew(await memory.claim({ ...stateless, nonces: first }, never));
    const key = 'test:held-nonces:acme';
    await command("return redis.call('ZADD', KEYS[1], 1, ARGV[1])", [key], [first.ticketSession]);
    requireNew(await memory.claim({ ...stateless, nonces: second }, never));
    expect(await heldMs(key, first.ticketSession)).toBeNull();
    within(await heldMs(key, second.ticketSession), second.lifetimeMs);
  });

  it('nothing is left of nonces that were not used, nor of who held them', async () => {
    const { memory, size } = await openToLook();
    for (const use of [undefined, newState()]) {
      const request = { use, requestHash: payment, nonces: newNonces(), holder };
      await requireNew(await memory.claim(request, never)).forget('unused');
      expect(await size()).toBe(0);
    }
  });

  it('a holder has room for 500,000 ticket sessions that live, and others have their own', async () => {
    const { redis, command } = await openToLook();
    const scripts: string[] = [];
    const small = {
      run: (script: string, ...rest: [readonly string[], readonly string[]]) => {
        scripts.push(script);
        return redis.run(script.replaceAll('500000', '20'), ...rest);
      },
    };
    const options = { keyPrefix: 'test:', ttlMs, maxBytes: 1_000_000, requestDeadlineMs: 20_000 };
    const memory = createRedisAnswers({ redis: small, ...options });
    const key = 'test:held-nonces:acme';
    const fill = "for i = 1, 19 do redis.call('ZADD', KEYS[1], ARGV[1], i) end return 1";
    await command(fill, [key], [`${Date.now() + 3_600_000}`]);
    const take = async (nonces: NonceDemand) =>
      requireNew(await memory.claim({ ...stateless, nonces }, never)).nonces;
    const last = newNonces();
    expect(await take(last)).toMatchObject({ kind: 'taken' });
    expect(await take(newNonces())).toEqual({ kind: 'no-room' });
    expect(await take(last)).toEqual({ kind: 'taken', lastNonce: 3, isFirst: false });
    expect(await take({ ...newNonces(), holder: 'other' })).toMatchObject({ kind: 'taken' });
    await command("return redis.call('ZADD', KEYS[1], 1, '7')", [key]);
    expect(await take(newNonces())).toMatchObject({ kind: 'taken', isFirst: true });
    expect(scripts[0]).toContain("redis.call('ZCOUNT', holder, now, '+inf') >= 500000 then");
  });

  it('a claim lasts as long as its request may, and shortens nothing that is known of the state', async () => {
    const { memory, leftMs } = await openToLook();
    const use = newState();
    const request = { use, requestHash: payment, nonces: undefined, holder };
    const first = requireNew(await memory.claim(request, never));
    const key = `test:use:${use}`;
    expect(await leftMs(key)).toBeLessThanOrEqual(21_500);
    expect(await leftMs(key)).toBeGreaterThan(10_000);
    await first.remember('an answer');
    requireNew(await memory.claim({ ...request, requestHash: otherPayment }, never));
    within(await leftMs(key), 2 * ttlMs);
  });

  it('claims that have run out make no fork, and one that lives does, whichever comes first', async () => {
    const { memory, command } = await openToLook();
    const use = newState();
    const claim = async (requestHash: string) =>
      requireNew(await memory.claim({ use, requestHash, nonces: undefined, holder }, never));
    await claim(hashOf('gone'));
    const runOut = "return redis.call('HSET', KEYS[1], ARGV[1], 'somebody 1')";
    await command(runOut, [`test:use:${use}`], [hashOf('gone')]);
    const alive = await claim(payment);
    expect(alive.isFork).toBe(false);
    const fork = await claim(otherPayment);
    expect(fork.isFork).toBe(true);
    await alive.forget('unused');
    await fork.forget('unused');
    expect((await claim(otherPayment)).isFork).toBe(false);
  });

  it('an answer takes room until it runs out, and nothing else is left of its claim', async () => {
    const { memory, command, leftMs, heldMs } = await openToLook();
    const answer = async (principal: string, use = newState()) => {
      const by = { tenant: `tenant of ${principal}`, principal };
      const request = { use, requestHash: payment, nonces: undefined, holder: by };
      await requireNew(await memory.claim(request, never)).remember('x'.repeat(100));
      return use;
    };
    const bytes = () => command("return redis.call('GET', KEYS[1])", ['test:answers-bytes']);
    const use = await answer('first');
    expect(await command("return redis.call('HGETALL', KEYS[1])", [`test:use:${use}`])).toEqual([
      'used',
      '1',
    ]);
    const names = (await command("return redis.call('KEYS', 'test:answers*')", [])) as string[];
    const named = (text: string): string =>
      createHash('sha256').update(text).digest('base64url').slice(0, 22);
    const [tenant, principal] = [named('tenant of first'), named('first')];
    expect(names.sort()).toEqual(
      [
        'test:answers-by-age',
        'test:answers-bytes',
        'test:answers-of-tenants',
        `test:answers-of-tenant:${tenant}`,
        `test:answers-of:${tenant}:${principal}`,
      ].sort(),
    );
    for (const name of names) within(await leftMs(name), 4 * ttlMs);
    const age = 'test:answers-by-age';
    const entries = "return redis.call('ZRANGE', KEYS[1], 0, -1)";
    const [entry = ''] = (await command(entries, [age])) as string[];
    within(await heldMs(age, entry), ttlMs);
    // an answer that is lost is counted once when it is made again
    await command("return redis.call('DEL', KEYS[1])", [`test:answer:${use}:${payment}`]);
    await answer('first', use);
    expect(await bytes()).toBe('1100');
    await command("return redis.call('ZADD', KEYS[1], 1, ARGV[1])", [age], [entry]);
    await answer('second');
    expect(await bytes()).toBe('1100');
    expect(await command(entries, [age])).toHaveLength(1);
    expect(await command("return redis.call('KEYS', 'test:answers*')", [])).toHaveLength(5);
    expect(await command("return redis.call('ZCARD', KEYS[1])", ['test:answers-of-tenants'])).toBe(
      1,
    );
  });

  it('the oldest answer of all gives way where lists of who holds what are lost', async () => {
    const { redis, command } = await openToLook();
    const options = { keyPrefix: 'test:', ttlMs, requestDeadlineMs: 20_000, redis };
    const memory = createRedisAnswers({ ...options, maxBytes: 2_200 });
    const uses = [newState(), newState(), newState()];
    const answer = async (use: string) =>
      requireNew(
        await memory.claim({ use, requestHash: payment, nonces: undefined, holder }, never),
      ).remember('x'.repeat(100));
    const kept = () =>
      Promise.all(
        uses.map((use) =>
          command("return redis.call('EXISTS', KEYS[1])", [`test:answer:${use}:${payment}`]),
        ),
      );
    await answer(uses[0] ?? '');
    await answer(uses[1] ?? '');
    expect(await kept()).toEqual([1, 1, 0]);
    const lost = "return redis.call('ZADD', KEYS[1], 1000000, 'nobody')";
    await command(lost, ['test:answers-of-tenants']);
    await answer(uses[2] ?? '');
    expect(await kept()).toEqual([0, 1, 1]);
    // a count that is too high leaves no answer, and ends
    await command("return redis.call('SET', KEYS[1], 1000000)", ['test:answers-bytes']);
    const use = newState();
    await answer(use);
    expect(await kept()).toEqual([0, 0, 0]);
  });

  it('time is Redis’ own, to the millisecond', async () => {
    const { redis, command } = await openToLook();
    const stopped = {
      run: (script: string, ...rest: [readonly string[], readonly string[]]) =>
        redis.run(script.replace("redis.call('TIME')", "{'1000', '999998'}"), ...rest),
    };
    const options = { keyPrefix: 'test:', ttlMs, maxBytes: 1_000, requestDeadlineMs: 20_000 };
    const memory = createRedisAnswers({ redis: stopped, ...options });
    const use = newState();
    requireNew(await memory.claim({ ...stateless, use, nonces: undefined }, never));
    const values = await command("return redis.call('HVALS', KEYS[1])", [`test:use:${use}`]);
    expect(values).toEqual([expect.stringMatching(/^\S+ 1022499$/)]);
  });

  it('a claim that is made again by its own token is the same claim', async () => {
    const { command, leftMs } = await openToLook();
    const keys = ['test:use:x', 'test:answer:x'];
    const args = [payment, 'a-token', '5000'];
    expect(await command(claimScript, keys, args)).toEqual(['new']);
    expect(await command(claimScript, keys, args)).toEqual(['new']);
    expect(await command(claimScript, keys, [payment, 'another', '5000'])).toEqual(['pending']);
    expect(await leftMs('test:use:x')).toBeLessThanOrEqual(5_000);
  });
});

describe('an answer of Redis that no script of this program gives', () => {
  const senseless = {
    name: 'RecordsError',
    code: 'ANSWERS_UNAVAILABLE',
    message: 'the memory of answers in Redis did not answer as it should',
    details: 'Redis answered what no script of this program returns',
    retryable: true,
    cause: expect.any(Error) as Error,
  };
  async function openSaying() {
    const { redis } = await openForOne();
    const state = { reply: '' };
    const run: typeof redis.run = (script, keys, args) =>
      redis.run(state.reply === '' ? script : `return ${state.reply}`, keys, args);
    const options = { keyPrefix: 'test:', ttlMs, maxBytes: 1_000_000, requestDeadlineMs: 20_000 };
    return { state, memory: createRedisAnswers({ redis: { run }, ...options }) };
  }
  const claimOf = (memory: AnswerMemory, use: string | undefined, nonces?: NonceDemand) =>
    memory.claim({ use, requestHash: payment, nonces, holder }, never);

  it('to a claim refuses it', async () => {
    const { state, memory } = await openSaying();
    for (const reply of [
      "'OK'",
      '{}',
      "{'old'}",
      "{'answered'}",
      "{'answered', 7}",
      "{'pending', 'x'}",
      "{'new', 'taken', 0, 1}",
    ]) {
      state.reply = reply;
      await expect(claimOf(memory, newState()), reply).rejects.toMatchObject(senseless);
    }
  });

  it.each([true, false])('to a claim of nonces refuses it, with a state: %s', async (hasState) => {
    const { state, memory } = await openSaying();
    for (const reply of [
      "{'new'}",
      "{'fork'}",
      "{'old', 'taken', 0, 1}",
      "{'new', 'given', 0, 1}",
      "{'new', 'taken', -1, 1}",
      "{'new', 'taken', '0', 1}",
      "{'new', 'taken', 0, 2}",
      "{'new', 'taken', 0}",
    ]) {
      state.reply = reply;
      const use = hasState ? newState() : undefined;
      await expect(claimOf(memory, use, newNonces()), reply).rejects.toMatchObject(senseless);
    }
    for (const [reply, nonces] of [
      ["{'new', 'taken', 4, 1}", { kind: 'taken', lastNonce: 4, isFirst: true }],
      ["{'fork', 'taken', 0, 0}", { kind: 'taken', lastNonce: 0, isFirst: false }],
      ["{'new', 'used-up', 500, 0}", { kind: 'used-up', lastNonce: 500 }],
      ["{'new', 'no-room', 3, 0}", { kind: 'no-room' }],
    ] as const) {
      state.reply = reply;
      const use = hasState ? newState() : undefined;
      const claim = requireNew(await claimOf(memory, use, newNonces()));
      expect(claim.nonces).toEqual(nonces);
      expect(claim.isFork).toBe(hasState && reply.startsWith("{'fork'"));
    }
  });

  it('to an answer that should be kept keeps it from being sent', async () => {
    const { state, memory } = await openSaying();
    for (const reply of ["'OK'", '{7}', "{'a', 'b'}"]) {
      state.reply = '';
      const claim = requireNew(await claimOf(memory, newState()));
      state.reply = reply;
      await expect(claim.remember('an answer'), reply).rejects.toMatchObject(senseless);
    }
    state.reply = '';
    const claim = requireNew(await claimOf(memory, newState()));
    state.reply = "{'the earlier one'}";
    expect(await claim.remember('an answer')).toBe('the earlier one');
  });
});

it('whoever waits for another instance looks each 25 ms, and is told at once when nobody waits any more', async () => {
  const { other, redis } = await openForOne();
  const request = { use: newState(), requestHash: payment, nonces: undefined, holder };
  const first = requireNew(await other.claim(request, never));
  let looks = 0;
  let lastLookMs = -Infinity;
  const pausesMs: number[] = [];
  const run: typeof redis.run = async (...args) => {
    pausesMs.push(performance.now() - lastLookMs);
    const reply = await redis.run(...args);
    lastLookMs = performance.now();
    looks += 1;
    return reply;
  };
  const options = { keyPrefix: 'test:', ttlMs, maxBytes: 1_000_000, requestDeadlineMs: 20_000 };
  const memory = createRedisAnswers({ redis: { run }, ...options });
  const leaving = new AbortController();
  let failure: unknown;
  const left = memory.claim(request, leaving.signal).catch((error: unknown) => (failure = error));
  await expect.poll(() => looks).toBeGreaterThan(1);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const before = looks;
  await expect.poll(() => looks, { interval: 1 }).toBeGreaterThan(before);
  await turn();
  leaving.abort(new Error('the client has gone away'));
  await turn();
  expect(failure).toMatchObject({ code: 'REQUEST_ABORTED' });
  await left;
  expect(Math.min(...pausesMs)).toBeGreaterThan(20);
  await first.forget('unused');
});

it('a request without state and nonces is nobody’s business', async () => {
  const { memory, redis } = await openForOne();
  const request = { use: undefined, requestHash: payment, nonces: undefined, holder };
  const claim = requireNew(await memory.claim(request, never));
  expect(claim).toMatchObject({ isFork: false, nonces: undefined });
  expect(await claim.remember('an answer')).toBe('an answer');
  await expect(claim.forget('unused')).resolves.toBeUndefined();
  expect(claim.forget('unused')).toBeInstanceOf(Promise);
  expect(await redis.run("return redis.call('DBSIZE')", [], [])).toBe(0);
  await memory.checkHealth();
  expect(await redis.run("return redis.call('KEYS', '*')", [], [])).toEqual(['test:health']);
});

it('lets another instance take over when the one that had the claim is gone', async () => {
  const { memory, other } = await openForOne(1);
  const state = newState();
  requireNew(
    await memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  );
  const claim = requireNew(
    await other.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  );
  expect(claim.isFork).toBe(false);
  await claim.remember('the other one’s');
});

it('has one answer also when a claim has run out: the one that is remembered first', async () => {
  const { memory, other } = await openForOne(1);
  const state = newState();
  const slow = requireNew(
    await memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  );
  const next = requireNew(
    await other.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  );
  await slow.forget('unused');
  expect(await next.remember('the next one’s')).toBe('the next one’s');
  expect(await slow.remember('the slow one’s')).toBe('the next one’s');
  expect(
    await memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  ).toMatchObject({ answer: 'the next one’s' });
});

it('forgets no claim that somebody else has by now', async () => {
  const { memory, other, redis } = await openForOne();
  const use = newState();
  const request = { use, requestHash: payment, nonces: undefined, holder };
  const slow = requireNew(await memory.claim(request, never));
  const valueOf = (): Promise<unknown> =>
    redis.run("return redis.call('HGET', KEYS[1], ARGV[1])", [`test:use:${use}`], [payment]);
  const runOut =
    "return redis.call('HSET', KEYS[1], ARGV[1], string.match(ARGV[2], '^%S+') .. ' 1')";
  await redis.run(runOut, [`test:use:${use}`], [payment, String(await valueOf())]);
  const next = requireNew(await other.claim(request, never));
  const claimed = await valueOf();
  await slow.forget('unused');
  expect(await valueOf()).toBe(claimed);
  // so nobody gets it besides, and another request is a fork
  await expect(
    createRedisAnswers({
      redis,
      keyPrefix: 'test:',
      ttlMs,
      maxBytes: 1,
      requestDeadlineMs: 1,
    }).claim(request, AbortSignal.timeout(100)),
  ).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
  const fork = requireNew(await memory.claim({ ...request, requestHash: otherPayment }, never));
  expect(fork.isFork).toBe(true);
  await fork.forget('unused');
  await next.forget('unused');
  expect(await valueOf()).toBeNull();
});

it('refuses while Redis is gone, all who wait at once, and remembers when it is back', async () => {
  const { server, memory } = await openForOne();
  const [answered, unanswered] = [newState(), newState()];
  await requireNew(
    await memory.claim({ use: answered, requestHash: payment, nonces: undefined, holder }, never),
  ).remember('an answer');
  const underWay = requireNew(
    await memory.claim({ use: unanswered, requestHash: payment, nonces: undefined, holder }, never),
  );
  await server.kill();
  const unavailable = { code: 'ANSWERS_UNAVAILABLE', retryable: true };
  const claims = Array.from({ length: 100 }, () =>
    memory.claim({ use: answered, requestHash: payment, nonces: undefined, holder }, never),
  );
  for (const claim of claims) await expect(claim).rejects.toMatchObject(unavailable);
  await expect(memory.checkHealth()).rejects.toMatchObject(unavailable);
  await expect(underWay.remember('lost')).rejects.toMatchObject(unavailable);
  await underWay.forget('unused');

  await server.start();
  const healthy = () =>
    memory.checkHealth().then(
      () => true,
      () => false,
    );
  await expect.poll(healthy, { timeout: 60_000, interval: 50 }).toBe(true);
  expect(
    await memory.claim({ use: answered, requestHash: payment, nonces: undefined, holder }, never),
  ).toMatchObject({ answer: 'an answer' });
});

it('takes back a claim that Redis answers too late', async () => {
  const { server, memory, other } = await openForOne();
  const state = newState();
  const nonces = newNonces();
  const earlier = requireNew(
    await memory.claim({ use: state, requestHash: payment, nonces, holder }, never),
  );
  expect(earlier.nonces).toMatchObject({ kind: 'taken', lastNonce: 0 });
  await earlier.forget('used');
  server.pause();
  await expect(
    memory.claim({ use: state, requestHash: payment, nonces, holder }, never),
  ).rejects.toMatchObject({
    code: 'ANSWERS_UNAVAILABLE',
  });
  server.resume();
  const claim = requireNew(
    await other.claim(
      { use: state, requestHash: payment, nonces, holder },
      AbortSignal.timeout(10_000),
    ),
  );
  expect(claim.isFork).toBe(false);
  // those of before stay used, whatever becomes of the late one's
  expect(claim.nonces).toMatchObject({ kind: 'taken', isFirst: false });
  if (claim.nonces?.kind === 'taken') expect(claim.nonces.lastNonce).toBeGreaterThanOrEqual(3);
  await claim.forget('unused');
});

it('goes on without Redis where that is asked for: requests at the same time share an answer', async () => {
  const { server, memory } = await openForOne();
  const lines: string[] = [];
  const lenient = failOpenAnswers(memory, (level, message) => lines.push(`${level} ${message}`));
  const state = newState();
  await requireNew(
    await lenient.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  ).remember('an answer');
  expect(
    await lenient.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
  ).toMatchObject({ answer: 'an answer' });
  const underWay = requireNew(
    await lenient.claim(
      { use: newState(), requestHash: payment, nonces: undefined, holder },
      never,
    ),
  );
  await server.kill();
  expect(await underWay.remember('not remembered')).toBe('not remembered');
  const { leaders, answers } = await storm([lenient], state, 100);
  expect(leaders).toBe(1);
  expect(new Set(answers).size).toBe(1);
  expect(lines).toEqual(['warn payments go on without a memory of answers']);
  await expect(lenient.checkHealth()).rejects.toMatchObject({ code: 'ANSWERS_UNAVAILABLE' });
});

it('is no way round a Redis that is full: one that refuses a write was reached', async () => {
  const { server, memory } = await openForOne();
  const lenient = failOpenAnswers(memory, () => undefined);
  const request = () => ({ use: newState(), requestHash: payment, nonces: newNonces(), holder });
  await server.command('CONFIG SET maxmemory 1');
  const refused = { code: 'ANSWERS_UNAVAILABLE' };
  await expect(lenient.claim(request(), never)).rejects.toMatchObject(refused);
  await expect(lenient.claim({ ...request(), use: undefined }, never)).rejects.toMatchObject(
    refused,
  );
  await server.command('CONFIG SET maxmemory 0');
  await requireNew(await lenient.claim(request(), never)).forget('unused');
});

it('gives nonces back without a word where Redis is gone', async () => {
  const { memory, server } = await openForOne();
  const nonces = newNonces();
  for (const use of [undefined, newState()]) {
    const claim = requireNew(
      await memory.claim({ use, requestHash: payment, nonces, holder }, never),
    );
    await server.kill();
    await expect(claim.forget('unused')).resolves.toBeUndefined();
    await server.start();
    await expect
      .poll(
        () =>
          memory.checkHealth().then(
            () => true,
            () => false,
          ),
        { timeout: 30_000 },
      )
      .toBe(true);
  }
});
