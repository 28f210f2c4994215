import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { RecordsError } from '../../../src/errors.ts';
import { type Redis, connectRedis } from '../../../src/store/redis.ts';
import { failOpen } from '../../../src/policy/limits/fail-open.ts';
import { createRedisLedger } from '../../../src/policy/limits/redis/redis-ledger.ts';
import { releaseScript } from '../../../src/policy/limits/redis/redis-scripts.ts';
import { spendKinds } from '../../../src/policy/limits/windows.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import {
  type Clock,
  describeLedger,
  hourMs,
  never,
  newWindow,
  oneTicket,
  requireReserved,
  spend,
} from './ledger-cases.ts';

/** Redis, whose clock reads what we want. */
function withClock(redis: Redis, clock: Clock): Pick<Redis, 'run'> {
  return {
    run(script, ...rest) {
      const seconds = Math.floor(clock.timeMs / 1_000);
      // the end of a full second, and the beginning of any other millisecond
      const milliseconds = clock.timeMs % 1_000;
      const microseconds = milliseconds === 0 ? 999 : milliseconds * 1_000;
      const time = `{'${seconds}', '${microseconds}'}`;
      return redis.run(script.replace("redis.call('TIME')", time), ...rest);
    },
  };
}

describeLedger('the ledger in Redis', async (clock) => {
  const server = await startRedisServer();
  const connect = () => connectRedis({ url: server.url, log: () => undefined });
  const [first, second] = [await connect(), await connect()];
  return {
    ledger: createRedisLedger({ redis: withClock(first, clock), keyPrefix: 'test:' }),
    other: createRedisLedger({ redis: withClock(second, clock), keyPrefix: 'test:' }),
    async [Symbol.asyncDispose]() {
      await Promise.all([first.close(), second.close()]);
      await server[Symbol.asyncDispose]();
    },
  };
});

async function start() {
  const server = await startRedisServer();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const redis = await connectRedis({ url: server.url, log: () => undefined });
  onTestFinished(() => redis.close());
  return { server, redis, ledger: createRedisLedger({ redis, keyPrefix: 'test:' }) };
}

/** Recovery takes until the next attempt to connect. */
const soon = { timeout: 60_000, interval: 50 };

it('goes by Redis’ clock, and keeps a counter for no longer than it can matter', async () => {
  const { redis, ledger } = await start();
  const window = newWindow({ ruleId: 'hourly', scope: 'tenant=acme' });
  requireReserved(await ledger.reserve([window], oneTicket, never));
  const key = 'test:spend:["hourly","tenant=acme",3600000]';
  const left = await redis.run("return redis.call('PTTL', KEYS[1])", [key], []);
  expect(left).toBeGreaterThan(hourMs);
  expect(left).toBeLessThan(hourMs * 1.04);
  const slot = await redis.run("return redis.call('HGET', KEYS[1], 'slot')", [key], []);
  expect(Math.abs(Number(slot) - Date.now() / 60_000)).toBeLessThan(2);
});

it('frees nothing when Redis’ clock is set back', async () => {
  const { redis } = await start();
  const clock = { timeMs: Date.now() };
  const ledger = createRedisLedger({ redis: withClock(redis, clock), keyPrefix: 'test:' });
  const window = newWindow({ limits: { tickets: 2n } });
  requireReserved(await ledger.reserve([window], oneTicket, never));
  clock.timeMs -= 48 * hourMs;
  requireReserved(await ledger.reserve([window], oneTicket, never));
  expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
  clock.timeMs += 49 * hourMs - 1_000;
  expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
});

it('fails while Redis is gone, and goes on with the same counts when it is back', async () => {
  const { server, ledger } = await start();
  const window = newWindow({ limits: { tickets: 2n } });
  requireReserved(await ledger.reserve([window], oneTicket, never));
  await server.kill();
  const failing = [
    () => ledger.reserve([window], oneTicket, never),
    () => ledger.usage([window]),
    () => ledger.checkHealth(),
  ];
  for (const ask of failing) {
    await expect(ask()).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE', retryable: true });
  }
  await server.start();
  await expect.poll(() => ledger.checkHealth().then(() => 'healthy', String), soon).toBe('healthy');
  requireReserved(await ledger.reserve([window], oneTicket, never));
  expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
});

it('fails soon while Redis hangs, and gives back what Redis reserved too late', async () => {
  const { server, ledger } = await start();
  const window = newWindow({ limits: { tickets: 1n } });
  await requireReserved(await ledger.reserve([window], oneTicket, never)).release();
  server.pause();
  await expect(ledger.reserve([window], oneTicket, never)).rejects.toMatchObject({
    code: 'LEDGER_UNAVAILABLE',
    details: 'no answer from Redis within 1000 ms',
  });
  server.resume();
  await expect.poll(() => ledger.usage([window]).catch(() => undefined), soon).toEqual([spend({})]);
  requireReserved(await ledger.reserve([window], oneTicket, never));
});

it('is not closed before what a caller has given up is given back', async () => {
  const { server, redis } = await start();
  const slow: Pick<Redis, 'run'> = {
    async run(script, ...rest) {
      if (script === releaseScript) await sleep(50);
      return redis.run(script, ...rest);
    },
  };
  const ledger = createRedisLedger({ redis: slow, keyPrefix: 'test:' });
  const window = newWindow();
  const gone = new AbortController();
  const asked = ledger.reserve([window], oneTicket, gone.signal);
  gone.abort(new Error('gone'));
  await expect(asked).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
  await ledger.close();
  await redis.close();
  const again = await connectRedis({ url: server.url, log: () => undefined });
  onTestFinished(() => again.close());
  const other = createRedisLedger({ redis: again, keyPrefix: 'test:' });
  expect(await other.usage([window])).toEqual([spend({})]);
});

it('releases without a word when Redis is gone', async () => {
  const { server, ledger } = await start();
  const reservation = requireReserved(await ledger.reserve([newWindow()], oneTicket, never));
  await server.kill();
  await expect(reservation.release()).resolves.toBeUndefined();
});

it('takes nothing off for a reservation that Redis has lost, or has released already', async () => {
  const { server, ledger } = await start();
  const window = newWindow({ limits: { tickets: 3n } });
  const lost = requireReserved(await ledger.reserve([window], oneTicket, never));
  expect(await server.command('FLUSHALL')).toBe('+OK');
  const kept = requireReserved(await ledger.reserve([window], oneTicket, never));
  await lost.release();
  expect(await ledger.usage([window])).toEqual([oneTicket]);
  await kept.release();
  expect(await ledger.usage([window])).toEqual([spend({})]);
});

it.each([
  ['ev', 5n, 3n],
  ['tickets', 5n, 3n],
  ['sessions', 5n, 3n],
  ['ev', 10n ** 15n, 10n ** 15n - 1n],
  ['ev', 10n ** 30n + 1n, 10n ** 30n],
] as const)(
  'takes nothing off a slot that has less than what is released: %s of %s, and %s',
  async (kind, released, held) => {
    const { redis, ledger } = await start();
    const window = newWindow({ scope: 'x' });
    const limits = [{ ruleId: 'few', maximum: 0n, isEnforced: true }];
    const session = { id: 'a-session', spentEv: 0n, limits };
    const watched = { ...session, limits: [] };
    const much = spend({ ev: released, tickets: released, sessions: released });
    const reservation = requireReserved(await ledger.reserve([window], much, never, watched));
    const keys = [`test:spend:["${window.ruleId}","x",3600000]`, 'test:session:a-session'];
    await redis.run("return redis.call('DEL', unpack(KEYS))", keys, []);
    const left = { ...much, [kind]: held };
    requireReserved(await ledger.reserve([window], left, never, watched));
    await reservation.release();
    expect(await ledger.usage([window])).toEqual([left]);
    const spent = left.ev < released ? left.ev : 0n;
    expect(await ledger.reserve([], spend({ ev: 1n }), never, session)).toMatchObject({ spent });
  },
);

it('refuses amounts that it could not add up exactly', async () => {
  const { ledger } = await start();
  const window = newWindow();
  const much = spend({ ev: 8n * 10n ** 30n });
  requireReserved(await ledger.reserve([window], much, never));
  await expect(ledger.reserve([window], much, never)).rejects.toMatchObject({
    code: 'LEDGER_UNAVAILABLE',
    details: expect.stringContaining('COUNTERFULL') as string,
  });
  expect(await ledger.usage([window])).toEqual([much]);
});

it.each(spendKinds)(
  'counts up to 9 * 10^30, of %s, and refuses what would be more',
  async (kind) => {
    const { ledger } = await start();
    const window = newWindow();
    const most = 9n * 10n ** 30n - 1n;
    requireReserved(await ledger.reserve([window], spend({ [kind]: most }), never));
    const full = {
      code: 'LEDGER_UNAVAILABLE',
      details: expect.stringContaining('COUNTERFULL') as string,
    };
    await expect(ledger.reserve([window], spend({ [kind]: 1n }), never)).rejects.toMatchObject(
      full,
    );
    expect(await ledger.usage([window])).toEqual([spend({ [kind]: most })]);
    const session = { id: 'a-session', spentEv: most, limits: [] };
    await expect(ledger.reserve([], spend({ ev: 1n }), never, session)).rejects.toMatchObject(full);
    requireReserved(await ledger.reserve([], spend({}), never, session));
  },
);

it('keeps no slot that has run out, be it the only one', async () => {
  const { redis } = await start();
  const clock = { timeMs: 1_000 * hourMs };
  const ledger = createRedisLedger({ redis: withClock(redis, clock), keyPrefix: 'test:' });
  const window = newWindow({ scope: 'x' });
  const late = requireReserved(await ledger.reserve([window], oneTicket, never));
  clock.timeMs += 2 * hourMs;
  expect(await ledger.usage([window])).toEqual([spend({})]);
  const key = `test:spend:["${window.ruleId}","x",3600000]`;
  const fields = await redis.run("return redis.call('HGETALL', KEYS[1])", [key], []);
  expect(fields).toEqual(['slot', `${1_002 * 60}`, 'total', '0 0 0 0 0 0']);
  await late.release();
  expect(await ledger.usage([window])).toEqual([spend({})]);
});

describe('an answer that no script of this program gives', () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedisServer('--appendonly', 'no');
    redis = await connectRedis({ url: server.url, log: () => undefined });
  });
  afterAll(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });

  /** A ledger whose Redis runs another script in place of the one that it is asked to run. */
  function ledgerSaying(reply: string) {
    const run: Redis['run'] = (_, keys, args) => redis.run(`return ${reply}`, keys, args);
    return createRedisLedger({ redis: { run }, keyPrefix: 'test:' });
  }
  const window = newWindow({ limits: { tickets: 9n } });
  const limits = [{ ruleId: 'few', maximum: 9n, isEnforced: true }];
  const session = { id: 'a-session', spentEv: 0n, limits };
  const senseless = {
    name: 'RecordsError',
    code: 'LEDGER_UNAVAILABLE',
    message: 'the spend ledger in Redis did not answer as it should',
    retryable: true,
  };

  it.each([
    "'OK'",
    '{}',
    '{3, 0, 0, 1}',
    "{1, {'x1'}, {}, {}}",
    "{1, {'1x'}, {}, {}}",
    "{1, {''}, {}, {}}",
    '{1, {1}, {}, {}}',
    "{1, {'1'}, {'x'}, {}}",
    "{1, {'1'}, {}, {'x'}}",
    "{1, {'1'}, {}}",
    "{2, 0, '1'}",
    "{2, 0, 'x1 1'}",
    "{2, 0, '1 1x'}",
    "{2, 0, ' 1'}",
    "{2, 0, '1 '}",
    "{2, 'x', '1 1'}",
    '{2, 0, 1}',
    "{0, 'x', 0, 1}",
    "{0, 0, 'x', 1}",
    "{0, 0, 0, 'x'}",
    '{0, 0, 0, 0}',
    '{0, 0, 1}',
  ])('to a reservation refuses it: %s', async (reply) => {
    const ledger = ledgerSaying(reply);
    await expect(ledger.reserve([window], oneTicket, never, session)).rejects.toMatchObject({
      ...senseless,
      details: 'Redis answered what no script of this program returns',
      cause: expect.any(Error) as Error,
    });
  });

  it.each([
    ['{0, 1, 0, 1}', 'a limit'],
    ['{0, 0, 3, 1}', 'a limit'],
    ['{0, 0, 0, 1}', 'a limit'],
    ["{2, 1, '1 1'}", 'a session limit'],
  ])('of a limit that nobody asked for refuses it: %s', async (reply, what) => {
    const ledger = ledgerSaying(reply);
    await expect(ledger.reserve([window], oneTicket, never, session)).rejects.toMatchObject({
      ...senseless,
      details: `Redis answered ${what} that was not asked for`,
    });
    if (what === 'a session limit') {
      await expect(ledger.reserve([window], oneTicket, never)).rejects.toMatchObject(senseless);
    }
  });

  it.each([
    "'OK'",
    "{''}",
    "{'0 1 0 0 0'}",
    "{'0 1 0 0 0 0 0'}",
    "{' 1 0 0 0 0'}",
    "{'0 1 0 0 0 '}",
    "{'x0 1 0 0 0 0'}",
    "{'0 1 0 0 0 0x'}",
    '{7}',
  ])('to the question what was spent is none: %s', async (reply) => {
    const ledger = ledgerSaying(reply);
    await expect(ledger.usage([window])).rejects.toMatchObject({
      ...senseless,
      details: 'Redis answered what no script of this program returns',
    });
  });

  it('names as observed none but what was asked for', async () => {
    const ledger = ledgerSaying("{1, {'12'}, {5}, {5}}");
    const reserved = requireReserved(await ledger.reserve([window], oneTicket, never, session));
    expect(reserved.observed).toEqual([]);
    const sessionless = ledgerSaying("{1, {'12'}, {}, {0}}");
    expect(requireReserved(await sessionless.reserve([window], oneTicket, never)).observed).toEqual(
      [],
    );
  });

  it('that comes too late is given back where it is a reservation, and else let be', async () => {
    const runs: (readonly string[])[] = [];
    let answerLate: ((reply: unknown) => void) | undefined;
    const run: Redis['run'] = (_, _keys, args, onLate) => {
      runs.push(args);
      answerLate ??= onLate;
      return onLate ? Promise.reject(new Error('too late')) : Promise.resolve(1);
    };
    const ledger = createRedisLedger({ redis: { run }, keyPrefix: 'test:' });
    await expect(ledger.reserve([window], oneTicket, never)).rejects.toMatchObject(senseless);
    expect(runs).toHaveLength(1);
    for (const reply of ['OK', null, {}, [0, 0, 0, 1], [2, 0, '1 1'], [1, ['x'], [], []]]) {
      answerLate?.(reply);
    }
    expect(runs).toHaveLength(1);
    answerLate?.([1, ['12'], [], []]);
    expect(runs[1]).toEqual(['0', '0', '0', '1', '0', '0', '12']);
  });

  it('is told from one that some script gives', async () => {
    const reserved = requireReserved(
      await ledgerSaying("{1, {'12'}, {0}, {0}}").reserve([window], oneTicket, never, session),
    );
    expect(reserved.observed).toEqual(['few', window.ruleId]);
    const exceeded = await ledgerSaying('{0, 0, 1, 7}').reserve([window], oneTicket, never);
    expect(exceeded).toEqual({
      kind: 'exceeded',
      ruleId: window.ruleId,
      limit: 'tickets',
      maximum: 9n,
      retryAfterMs: 7,
    });
    const spent = await ledgerSaying("{2, 0, '2 5'}").reserve([], oneTicket, never, session);
    expect(spent).toEqual({
      kind: 'session-exceeded',
      ruleId: 'few',
      maximum: 9n,
      spent: 2n * 10n ** 15n + 5n,
    });
    const usage = await ledgerSaying("{'1 2 3 4 5 6'}").usage([window]);
    expect(usage).toEqual([
      { ev: 10n ** 15n + 2n, tickets: 3n * 10n ** 15n + 4n, sessions: 5n * 10n ** 15n + 6n },
    ]);
  });
});

it('is told of a request that has ended, before and after it was counted', async () => {
  const { redis, ledger } = await start();
  const window = newWindow();
  const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
  const tooLate = {
    name: 'RecordsError',
    code: 'LEDGER_UNAVAILABLE',
    message: 'the spend ledger did not answer before the deadline',
    retryable: true,
  };
  await expect(ledger.reserve([window], oneTicket, late)).rejects.toMatchObject(tooLate);
  expect(await redis.run("return redis.call('DBSIZE')", [], [])).toBe(0);
  const ending = new AbortController();
  const reserving = ledger.reserve([window], oneTicket, ending.signal);
  ending.abort(new DOMException('late', 'TimeoutError'));
  await expect(reserving).rejects.toMatchObject(tooLate);
  await expect.poll(() => ledger.usage([window]), soon).toEqual([spend({})]);
});

it('names a reservation of its own each time, and keeps it for as long as it may be given back', async () => {
  const { redis, ledger } = await start();
  const reservations = (): Promise<unknown> =>
    redis.run("return redis.call('KEYS', 'test:reservation:*')", [], []);
  const two = [
    requireReserved(await ledger.reserve([newWindow()], oneTicket, never)),
    requireReserved(await ledger.reserve([newWindow()], oneTicket, never)),
  ];
  const names = (await reservations()) as string[];
  expect(new Set(names).size).toBe(2);
  for (const name of names) {
    const left = Number(await redis.run("return redis.call('PTTL', KEYS[1])", [name], []));
    expect(left).toBeLessThanOrEqual(60_000);
    expect(left).toBeGreaterThan(30_000);
  }
  for (const reservation of two) await reservation.release();
  expect(await reservations()).toEqual([]);
  await expect(ledger.close()).resolves.toBeUndefined();
  expect(ledger.close()).toBeInstanceOf(Promise);
  await ledger.checkHealth();
  expect(await redis.run("return redis.call('EXISTS', KEYS[1])", ['test:health'], [])).toBe(1);
});

it('lets payments go on without Redis where that is asked for, and says so once', async () => {
  const { server, ledger: strict } = await start();
  const lines: unknown[] = [];
  const ledger = failOpen(strict, (...line) => lines.push(line));
  const window = newWindow({ limits: { tickets: 1n } });
  requireReserved(await ledger.reserve([window], oneTicket, never));
  expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
  await server.kill();
  for (let payment = 0; payment < 3; payment += 1) {
    const reservation = requireReserved(await ledger.reserve([window], oneTicket, never));
    expect(reservation.observed).toEqual([]);
    expect(reservation.release()).toBeInstanceOf(Promise);
    await reservation.release();
  }
  expect(lines).toEqual([
    [
      'warn',
      'payments go on without windows',
      {
        reason: 'the spend ledger in Redis did not answer as it should',
        details: expect.any(String) as string,
      },
    ],
  ]);
  await expect(ledger.checkHealth()).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });
  const gone = AbortSignal.abort(new Error('the client has gone away'));
  await expect(ledger.reserve([window], oneTicket, gone)).rejects.toMatchObject({
    code: 'REQUEST_ABORTED',
  });
});

it('passes on whatever is no absence of Redis', async () => {
  const { ledger: strict } = await start();
  const failing = async (failure: unknown): Promise<unknown> => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- whatever it is
    const broken = { ...strict, reserve: () => Promise.reject(failure) };
    const lines: string[] = [];
    const ledger = failOpen(broken, (_, message) => lines.push(message));
    const outcome = await ledger.reserve([], oneTicket, never).catch((error: unknown) => error);
    expect(lines).toHaveLength(outcome === failure ? 0 : 1);
    return outcome;
  };
  for (const failure of [
    new Error('a mistake'),
    'no error',
    new RecordsError('AUDIT_UNAVAILABLE', 'something else'),
    new RecordsError('LEDGER_UNAVAILABLE', 'full', { details: 'Redis answered OOM' }),
  ]) {
    expect(await failing(failure)).toBe(failure);
  }
  for (const details of ['connection lost', 'Redis answered LOADING x']) {
    const away = new RecordsError('LEDGER_UNAVAILABLE', 'away', { details });
    expect(await failing(away)).toMatchObject({ kind: 'reserved', observed: [] });
  }
  expect(await failing(new RecordsError('LEDGER_UNAVAILABLE', 'away'))).toMatchObject({
    kind: 'reserved',
  });
});
