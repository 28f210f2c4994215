import {
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createRedisSwitch } from '../../../src/policy/switch/redis-switch.ts';
import {
  type Pause,
  type SwitchStore,
  type SwitchUse,
  alwaysPermitted,
  createSigningPermit,
  createSigningSwitch,
} from '../../../src/policy/switch/signing-switch.ts';
import { openSwitchFile } from '../../../src/policy/switch/switch-file.ts';
import { type Redis, connectRedis } from '../../../src/store/redis.ts';
import { SmallDisk } from '../../audit/small-disk.ts';
import { Folder } from '../../cli/cli.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';

const pause: Pause = { by: 'ann@host', reason: 'drill', since: '2026-11-27T10:00:00.000Z' };
const unknown: Pause = { by: '', reason: '', since: '' };

/** What a store fails with, by what it was doing. */
const unavailable = (message: string | RegExp) =>
  expect.objectContaining({
    name: 'RecordsError',
    code: 'SIGNING_SWITCH_UNAVAILABLE',
    retryable: true,
    message: expect.stringMatching(message) as string,
    cause: expect.any(Error) as Error,
  }) as Error;

describe('the switch in Redis', () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedisServer();
    redis = await connectRedis({ url: server.url, log: () => undefined });
  });
  afterAll(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await server.command('FLUSHALL');
  });

  /** A switch, and a Redis that can be told to fail, or to hold something else. */
  function open(onFailure: 'deny' | 'allow' = 'deny') {
    const lines: unknown[] = [];
    const state: { failure: unknown } = { failure: undefined };
    const store = createRedisSwitch({
      redis: {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- whatever it is
        run: (...args) => (state.failure ? Promise.reject(state.failure) : redis.run(...args)),
      },
      keyPrefix: 'test:',
      onFailure,
      log: (level, message, fields) => lines.push([level, message, fields]),
    });
    return { store, lines, state };
  }
  const hold = (value: string) =>
    redis.run("redis.call('SET', KEYS[1], ARGV[1]) return 1", ['test:signing'], [value]);
  const held = () => redis.run("return redis.call('GET', KEYS[1])", ['test:signing'], []);
  const gone = new Error('connection lost');

  it('is one for all who share it, under one name', async () => {
    const [here, there] = [open().store, open().store];
    expect(await here.read()).toBeUndefined();
    await there.write(pause);
    expect(there.known()).toEqual(pause);
    expect(await held()).toBe(JSON.stringify(pause));
    expect(here.known()).toBeUndefined();
    expect(await here.read()).toEqual(pause);
    expect(here.known()).toEqual(pause);
    await here.write(undefined);
    expect(here.known()).toBeUndefined();
    expect(await held()).toBe('{"signing":true}');
    expect(there.known()).toEqual(pause);
    expect(await there.read()).toBeUndefined();
    expect(there.known()).toBeUndefined();
  });

  it.each([
    ['no JSON', 'off'],
    ['a text', '"off"'],
    ['a number', '7'],
    ['a pause without its reason', '{"by":"a","since":"b"}'],
    ['no word of signing', '{"signing":false}'],
    ['nothing', ''],
  ])('that holds %s stops signing, by nobody knows whom', async (_, value) => {
    const { store } = open();
    expect(await store.read()).toBeUndefined();
    await hold(value);
    expect(await store.read()).toEqual(unknown);
    expect(store.known()).toEqual(unknown);
    await hold('{"signing":true}');
    expect(await store.read()).toBeUndefined();
  });

  it('that holds no text at all stops signing', async () => {
    const { store } = open();
    const odd = createRedisSwitch({
      redis: { run: () => redis.run('return {1, 2}', [], []) },
      keyPrefix: 'test:',
      onFailure: 'deny',
      log: () => undefined,
    });
    expect(await odd.read()).toEqual(unknown);
    expect(await store.read()).toBeUndefined();
  });

  it('that has forgotten a pause which is known does not end it', async () => {
    const { store } = open();
    await hold(JSON.stringify(pause));
    expect(await store.read()).toEqual(pause);
    await server.command('FLUSHALL');
    expect(await store.read()).toEqual(pause);
    expect(store.known()).toEqual(pause);
    await store.write(undefined);
    await server.command('FLUSHALL');
    expect(await store.read()).toBeUndefined();
  });

  it('that can’t be read lets nothing be signed, and says so once until it can be', async () => {
    const { store, lines, state } = open();
    expect(() => store.known()).toThrow(
      unavailable(/^the switch that stops signing can't be read: it was not asked yet$/),
    );
    expect(await store.read()).toBeUndefined();
    state.failure = gone;
    const refused = unavailable(/^the switch that stops signing can't be read: connection lost$/);
    for (let turn = 0; turn < 3; turn += 1) await expect(store.read()).rejects.toThrow(refused);
    await expect(store.read()).rejects.toMatchObject({ cause: gone });
    // what was known last holds for calls of the key that are under way
    expect(store.known()).toBeUndefined();
    const line = [
      'warn',
      "the switch that stops signing can't be read",
      { reason: 'connection lost' },
    ];
    expect(lines).toEqual([line]);
    state.failure = undefined;
    await store.read();
    state.failure = 'no error';
    await expect(store.read()).rejects.toThrow(/: unknown$/);
    expect(lines).toEqual([line, [line[0], line[1], { reason: 'unknown' }]]);
  });

  it('that can’t be read keeps a pause which is known, whatever is to be done without it', async () => {
    for (const onFailure of ['deny', 'allow'] as const) {
      const { store, state } = open(onFailure);
      await store.write(pause);
      state.failure = gone;
      expect(await store.read()).toEqual(pause);
      expect(store.known()).toEqual(pause);
    }
  });

  it('that can’t be read is done without where that is asked for', async () => {
    const { store, lines, state } = open('allow');
    state.failure = gone;
    expect(store.known()).toBeUndefined();
    expect(await store.read()).toBeUndefined();
    expect(store.known()).toBeUndefined();
    expect(lines).toHaveLength(1);
  });

  it('that can’t be written does not hold', async () => {
    const { store, state } = open();
    expect(await store.read()).toBeUndefined();
    state.failure = gone;
    await expect(store.write(pause)).rejects.toThrow(
      unavailable(/^the switch that stops signing can't be written: connection lost$/),
    );
    expect(store.known()).toBeUndefined();
    state.failure = undefined;
    expect(await store.read()).toBeUndefined();
  });
});

describe('the switch in a folder', () => {
  const name = 'signing-paused.json';
  function open() {
    const folder = new Folder();
    onTestFinished(() => folder[Symbol.dispose]());
    return { folder: folder.path, path: join(folder.path, name) };
  }
  const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

  it('is a file that anybody may read who may enter, and nothing else is left there', async () => {
    const { folder } = open();
    const inside = join(folder, 'a', 'audit');
    const store = openSwitchFile(inside);
    expect(await store.read()).toBeUndefined();
    const before = process.umask(0o077);
    try {
      await store.write(pause);
    } finally {
      process.umask(before);
    }
    expect(readdirSync(inside)).toEqual([name]);
    expect(modeOf(join(inside, name))).toBe('644');
    expect(readFileSync(join(inside, name), 'utf8')).toBe(`${JSON.stringify(pause)}\n`);
    expect(await openSwitchFile(inside).read()).toEqual(pause);
    await store.write({ ...pause, reason: 'again' });
    expect(store.known()).toMatchObject({ reason: 'again' });
    await store.write(undefined);
    expect(readdirSync(inside)).toEqual([]);
    expect(store.known()).toBeUndefined();
    // there is nothing to end
    await store.write(undefined);
  });

  it('is in a folder that is made where it is missing, for its owner and group', async () => {
    const { folder } = open();
    const before = process.umask(0);
    try {
      await openSwitchFile(join(folder, 'a', 'audit')).write(pause);
    } finally {
      process.umask(before);
    }
    expect(modeOf(join(folder, 'a'))).toBe('750');
    expect(modeOf(join(folder, 'a', 'audit'))).toBe('750');
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'off'],
    ['a pause without its time', '{"by":"a","reason":"b"}'],
    ['more than a pause ever has', JSON.stringify({ ...pause, reason: 'x'.repeat(4_096) })],
  ])('that holds %s stops signing, by nobody knows whom', async (_, text) => {
    const { folder, path } = open();
    writeFileSync(path, text);
    const store = openSwitchFile(folder);
    expect(store.known()).toEqual(unknown);
    expect(await store.read()).toEqual(unknown);
  });

  it('that holds 4,096 characters is read, and nothing that is longer', () => {
    const { folder, path } = open();
    const store = openSwitchFile(folder);
    const rest = JSON.stringify({ ...pause, reason: '' }).length;
    const long = { ...pause, reason: 'x'.repeat(4_096 - rest) };
    writeFileSync(path, JSON.stringify(long));
    expect(store.known()).toEqual(long);
    writeFileSync(path, JSON.stringify({ ...long, reason: `${long.reason}x` }));
    expect(store.known()).toEqual(unknown);
  });

  it('that is a folder, or a link to nowhere, stops signing', () => {
    const { folder, path } = open();
    symlinkSync('/nowhere', path);
    expect(openSwitchFile(folder).known()).toEqual(unknown);
    const other = open();
    mkdirSync(other.path);
    expect(openSwitchFile(other.folder).known()).toEqual(unknown);
  });

  it('stops signing though its disk has no room for who did so and why', async () => {
    using disk = new SmallDisk(64);
    const store = openSwitchFile(disk.path);
    disk.fill(0);
    await store.write(pause);
    expect(store.known()).toEqual(unknown);
    expect(readdirSync(disk.path).toSorted()).toEqual(['filler', name]);
    disk.makeRoom();
    expect(store.known()).toEqual(unknown);
    await store.write(undefined);
    expect(store.known()).toBeUndefined();
  });

  it('that can’t be looked at, or written, is told of with its path and why', async () => {
    const { folder } = open();
    writeFileSync(join(folder, 'file'), '');
    const inside = join(folder, 'file');
    const store = openSwitchFile(inside);
    const path = join(inside, name);
    const looked = unavailable(
      `^the switch that stops signing, ${path}, can't be looked at: ENOTDIR$`,
    );
    expect(() => store.known()).toThrow(looked);
    await expect(store.read()).rejects.toThrow(looked);
    await expect(store.write(pause)).rejects.toThrow(
      unavailable(`^the switch that stops signing, ${path}, can't be written: [A-Z]+$`),
    );
    await expect(store.write(undefined)).rejects.toThrow(
      unavailable(`^the switch that stops signing, ${path}, can't be written: ENOTDIR$`),
    );
  });
});

describe('whoever uses the switch', () => {
  /** A switch whose store and records are in memory, and what was done, in its order. */
  function open() {
    const done: unknown[] = [];
    const fails = { write: false, record: false };
    let held: Pause | undefined;
    const store: SwitchStore = {
      read: () => Promise.resolve(held),
      known: () => held,
      write: (next) => {
        if (fails.write) return Promise.reject(new Error('not written'));
        done.push(['write', next]);
        held = next;
        return Promise.resolve();
      },
    };
    const record = (use: SwitchUse): Promise<void> => {
      if (fails.record) return Promise.reject(new Error('not recorded'));
      done.push(['record', use]);
      return Promise.resolve();
    };
    const now = () => new Date(1_795_000_000_123);
    return { done, fails, store, signing: createSigningSwitch({ store, record, now }) };
  }
  const since = new Date(1_795_000_000_123).toISOString();

  it('stops signing before it is recorded, and records that it goes on before it does', async () => {
    const { done, signing } = open();
    expect(await signing.state()).toEqual({ kind: 'signing' });
    await signing.pause({ by: 'ann', reason: 'drill' });
    expect(await signing.state()).toEqual({ kind: 'paused', by: 'ann', reason: 'drill', since });
    await signing.resume({ by: 'bob' });
    expect(await signing.state()).toEqual({ kind: 'signing' });
    expect(done).toEqual([
      ['write', { by: 'ann', reason: 'drill', since }],
      ['record', { kind: 'signing-paused', by: 'ann', reason: 'drill' }],
      ['record', { kind: 'signing-resumed', by: 'bob' }],
      ['write', undefined],
    ]);
  });

  it('stops it though that can’t be recorded, and lets it go on in no such case', async () => {
    const { done, fails, signing } = open();
    fails.record = true;
    await expect(signing.pause({ by: 'ann', reason: 'drill' })).rejects.toThrow('not recorded');
    expect(await signing.state()).toMatchObject({ kind: 'paused' });
    await expect(signing.resume({ by: 'ann' })).rejects.toThrow('not recorded');
    expect(await signing.state()).toMatchObject({ kind: 'paused' });
    fails.record = false;
    fails.write = true;
    await expect(signing.pause({ by: 'ann', reason: 'drill' })).rejects.toThrow('not written');
    expect(done).toHaveLength(1);
  });

  it('is quoted with 256 characters at most', async () => {
    const { done, signing } = open();
    const long = `${'x'.repeat(256)}y`;
    await signing.pause({ by: long, reason: long });
    await signing.resume({ by: long });
    const cut = 'x'.repeat(256);
    expect(done).toEqual([
      ['write', { by: cut, reason: cut, since }],
      ['record', { kind: 'signing-paused', by: cut, reason: cut }],
      ['record', { kind: 'signing-resumed', by: cut }],
      ['write', undefined],
    ]);
  });

  it('has what is refused told who did so, since when and why, and to come again', async () => {
    const { store, signing } = open();
    const permit = createSigningPermit(store);
    await permit.require();
    permit.requireNow();
    await signing.pause({ by: 'ann', reason: 'drill' });
    const paused = {
      name: 'SignerError',
      code: 'SIGNING_PAUSED',
      message: 'an operator has stopped all signing',
      retryable: true,
      details: `ann, on ${since}: drill`,
      data: { retryAfterSeconds: 10 },
    };
    await expect(permit.require()).rejects.toMatchObject(paused);
    expect(() => permit.requireNow()).toThrow(expect.objectContaining(paused) as Error);
  });

  it('can’t be anybody where there is no place for a switch', async () => {
    await expect(alwaysPermitted.require()).resolves.toBeUndefined();
    expect(alwaysPermitted.require()).toBeInstanceOf(Promise);
    expect(() => alwaysPermitted.requireNow()).not.toThrow();
  });
});
