import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openEmbeddedLedger } from '../../../src/policy/limits/embedded/embedded-ledger.ts';
import { openFileArchive } from '../../../src/policy/limits/embedded/file-archive.ts';
import {
  type LedgerArchive,
  type LedgerRecord,
  formatLedger,
  importLedger,
  parseLedger,
} from '../../../src/policy/limits/ledger-archive.ts';
import type { SessionCharge, SpendLedger } from '../../../src/policy/limits/ledger.ts';
import { openRedisArchive } from '../../../src/policy/limits/redis/redis-archive.ts';
import { createRedisLedger } from '../../../src/policy/limits/redis/redis-ledger.ts';
import { slotAt, slotsPerWindow } from '../../../src/policy/limits/windows.ts';
import { type Redis, connectRedis } from '../../../src/store/redis.ts';
import { Folder, devConfig, run } from '../../cli/cli.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { hourMs, never, newWindow, requireReserved, spend } from './ledger-cases.ts';

/** 2^70 wei and 1: beyond what doubles and SQLite's integers hold. */
const much = 2n ** 70n + 1n;
const keyPrefix = 'test[*]{}:';

let server: RedisServer;
let redis: Redis;
let folder: Folder;

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
  folder = new Folder();
  return () => folder[Symbol.dispose]();
});

type Side = {
  readonly archive: LedgerArchive;
  readonly work: (spending: (ledger: SpendLedger) => Promise<void>) => Promise<void>;
};

const sides: Readonly<Record<'embedded' | 'redis', () => Side>> = {
  embedded: () => ({
    archive: openFileArchive(folder.path),
    async work(spending) {
      const ledger = await openEmbeddedLedger({ folder: folder.path, log: () => undefined });
      await spending(ledger).finally(() => ledger.close());
    },
  }),
  redis: () => ({
    archive: openRedisArchive({ redis, keyPrefix }),
    work: (spending) => spending(createRedisLedger({ redis, keyPrefix })),
  }),
};

const daily = newWindow({ ruleId: 'daily "x"', scope: 'tenant=ä[*]', limits: { ev: 3n * much } });
const hourly = newWindow({ ruleId: 'hourly', limits: { tickets: 10n } });
const session = (spentEv = 0n): SessionCharge => ({
  id: 'c'.repeat(32),
  spentEv,
  limits: [{ ruleId: 'per-session', maximum: 3n * much, isEnforced: true }],
});

describe.each([
  ['embedded', 'redis'],
  ['redis', 'embedded'],
] as const)('a ledger moved from %s to %s', (from, to) => {
  it('keeps what windows and sessions have spent to the wei, and their limits', async () => {
    const [source, target] = [sides[from](), sides[to]()];
    await source.work(async (ledger) => {
      const payment = spend({ ev: much, tickets: 4n, sessions: 1n });
      requireReserved(await ledger.reserve([daily, hourly], payment, never, session()));
      requireReserved(await ledger.reserve([daily, hourly], payment, never, session()));
    });
    const exported = formatLedger(await source.archive.read());
    expect(await importLedger(target.archive, parseLedger(exported))).toBe(3);
    await target.work(async (ledger) => {
      const spent = spend({ ev: 2n * much, tickets: 8n, sessions: 2n });
      expect(await ledger.usage([daily, hourly])).toEqual([spent, spent]);
      const tooMuch = spend({ ev: much + 1n, tickets: 1n });
      expect((await ledger.reserve([daily], tooMuch, never)).kind).toBe('exceeded');
      expect((await ledger.reserve([], tooMuch, never, session())).kind).toBe('session-exceeded');
      const three = spend({ ev: 1n, tickets: 3n });
      expect((await ledger.reserve([hourly], three, never)).kind).toBe('exceeded');
      const rest = spend({ ev: much, tickets: 2n });
      requireReserved(await ledger.reserve([daily, hourly], rest, never, session()));
    });
  });

  it('takes the same export twice, and goes on with one that was broken off', async () => {
    const [source, target] = [sides[from](), sides[to]()];
    await source.work(async (ledger) => {
      requireReserved(await ledger.reserve([daily, hourly], spend({ ev: much }), never));
    });
    const records = parseLedger(formatLedger(await source.archive.read()));
    expect(await importLedger(target.archive, records.slice(0, 2))).toBe(1);
    expect(await importLedger(target.archive, records)).toBe(1);
    expect(await importLedger(target.archive, records)).toBe(0);
    await target.work(async (ledger) => {
      const spent = spend({ ev: much });
      expect(await ledger.usage([daily, hourly])).toEqual([spent, spent]);
    });
  });

  it('is refused as a whole where anything else has been spent', async () => {
    const [source, target] = [sides[from](), sides[to]()];
    const reserve = (window: typeof daily) => async (ledger: SpendLedger) => {
      requireReserved(await ledger.reserve([window], spend({ ev: 1n }), never));
    };
    await source.work(reserve(daily));
    await target.work(reserve(hourly));
    const records = await source.archive.read();
    await expect(importLedger(target.archive, records)).rejects.toThrow(
      'not empty: rule hourly has been spent from; nothing was imported',
    );
    await target.work(async (ledger) => {
      expect(await ledger.usage([daily])).toEqual([spend({})]);
    });
  });
});

it.each(['embedded', 'redis'] as const)(
  'all 61 slots that count of a window are taken over: %s',
  async (to) => {
    const { ruleId, scope, windowMs } = hourly;
    const timeMs = Date.now();
    // the newest is ahead of the clock, so that none runs out meanwhile
    const newest = slotAt(timeMs, windowMs) + 10;
    const slots = Array.from({ length: slotsPerWindow + 1 }, (_, index) => ({
      slot: newest - slotsPerWindow + index,
      spent: spend({ ev: 1n, tickets: index === 0 ? 100n : 1n }),
    }));
    const records: LedgerRecord[] = [
      { kind: 'clock', timeMs },
      { kind: 'counter', ruleId, scope, windowMs, slots },
    ];
    const { archive, work } = sides[to]();
    expect(await importLedger(archive, records)).toBe(1);
    await work(async (ledger) => {
      expect(await ledger.usage([hourly])).toEqual([spend({ ev: 61n, tickets: 160n })]);
    });
  },
);

it('an amount that Redis can’t add up exactly is refused, and nothing is written', async () => {
  const slots = [{ slot: 1, spent: spend({ ev: 9n * 10n ** 30n }) }];
  const { ruleId, scope, windowMs } = hourly;
  const record = { kind: 'counter', ruleId, scope, windowMs, slots } as const;
  const { archive } = sides.redis();
  await expect(importLedger(archive, [record])).rejects.toThrow('larger than Redis can add up');
  expect(await archive.read()).toEqual([]);
});

/** What Redis does, at this time of its clock. */
const at = (seconds: number, microseconds: number) => ({
  run: (script: string, ...rest: [readonly string[], readonly string[]]) =>
    redis.run(script.replace("redis.call('TIME')", `{'${seconds}', '${microseconds}'}`), ...rest),
});
const command = (script: string, keys: readonly string[], args: readonly string[] = []) =>
  redis.run(script, keys, args);

const counter = (windowMs = hourMs): Extract<LedgerRecord, { kind: 'counter' }> => ({
  kind: 'counter',
  ruleId: 'hourly',
  scope: 'x',
  windowMs,
  slots: [
    { slot: 9, spent: spend({ ev: much, tickets: 2n }) },
    { slot: 10, spent: spend({ ev: 1n, sessions: 3n }) },
  ],
});
const sessionRecord = (id: string, expiresMs: number): LedgerRecord => ({
  kind: 'session',
  id,
  ev: much,
  expiresMs,
});

describe('an archive in Redis', () => {
  const key = `${keyPrefix}spend:["hourly","x",3600000]`;
  const open = (seconds: number, microseconds: number) =>
    openRedisArchive({ redis: at(seconds, microseconds), keyPrefix });

  it('has counters as the ledger keeps them, for no longer than they can matter', async () => {
    await open(1_000, 0).write([counter()]);
    expect(await command("return redis.call('HGETALL', KEYS[1])", [key])).toEqual([
      '9',
      `${much / 10n ** 15n} ${much % 10n ** 15n} 0 2 0 0`,
      '10',
      '0 1 0 0 0 3',
      'slot',
      '10',
      'total',
      `${much / 10n ** 15n} ${(much % 10n ** 15n) + 1n} 0 2 0 3`,
    ]);
    const left = Number(await command("return redis.call('PTTL', KEYS[1])", [key]));
    expect(left).toBeLessThanOrEqual((hourMs * 62) / 60 + 1_000);
    expect(left).toBeGreaterThan((hourMs * 62) / 60 - 30_000);
    expect(await open(1_000, 0).read()).toEqual([{ kind: 'clock', timeMs: 1_000_000 }, counter()]);
    // one that is there stays
    const more = { ...counter(), slots: [{ slot: 10, spent: spend({ ev: 7n }) }] };
    await open(1_000, 0).write([more]);
    expect(await open(1_000, 0).read()).toContainEqual(counter());
  });

  it('has each session until its time, by Redis’ own clock to the millisecond', async () => {
    const archive = open(1_000, 500_999);
    await archive.write([
      sessionRecord('a', 1_000_500 + 60_000),
      sessionRecord('b', 1_000_500),
      sessionRecord('c', 1_000_499),
      { kind: 'clock', timeMs: 1 },
    ]);
    const leftOf = async (id: string): Promise<number> =>
      Number(await command("return redis.call('PTTL', KEYS[1])", [`${keyPrefix}session:${id}`]));
    expect(await leftOf('a')).toBeLessThanOrEqual(60_000);
    expect(await leftOf('a')).toBeGreaterThan(30_000);
    expect([await leftOf('b'), await leftOf('c')]).toEqual([-2, -2]);
    expect(await command("return redis.call('GET', KEYS[1])", [`${keyPrefix}session:a`])).toBe(
      `${much / 10n ** 15n} ${much % 10n ** 15n}`,
    );
    // one that is there stays
    await archive.write([{ kind: 'session', id: 'a', ev: 1n, expiresMs: 1_000_500 + 90_000 }]);
    for (const [microseconds, timeMs] of [
      [500_999, 1_000_500],
      [500_000, 1_000_500],
      [999, 1_000_000],
    ] as const) {
      const [clock, record] = await open(1_000, microseconds).read();
      expect(clock).toEqual({ kind: 'clock', timeMs });
      const { expiresMs = 0 } = record as { expiresMs?: number };
      expect(record).toEqual({ kind: 'session', id: 'a', ev: much, expiresMs });
      expect(expiresMs).toBeLessThanOrEqual(timeMs + 60_000);
      expect(expiresMs).toBeGreaterThan(timeMs + 30_000);
    }
  });

  it('has whatever there is, counters before sessions, each in the order of their names', async () => {
    const ids = Array.from({ length: 250 }, (_, index) => `s${String(index).padStart(3, '0')}`);
    const expiresMs = Date.now() + 3_600_000;
    const { archive } = sides.redis();
    await archive.write([
      ...ids.toReversed().map((id) => sessionRecord(id, expiresMs)),
      { ...counter(), ruleId: 'b' },
      { ...counter(), ruleId: 'a' },
    ]);
    // what does not run out, or is another program's, is none of the ledger
    await command("return redis.call('SET', KEYS[1], '1 1')", [`${keyPrefix}session:lasting`]);
    for (const foreign of ['test*{}:session:y', 'test[xx]{}:session:z']) {
      await command("return redis.call('SET', KEYS[1], '1 1', 'PX', 60000)", [foreign]);
    }
    const [clock, ...records] = await archive.read();
    expect(Math.abs(Number(clock?.kind === 'clock' && clock.timeMs) - Date.now())).toBeLessThan(
      60_000,
    );
    const names = records.map((record) =>
      record.kind === 'counter' ? record.ruleId : record.kind === 'session' && record.id,
    );
    expect(names).toEqual(['a', 'b', ...ids]);
  });

  it('is nothing where nothing was spent, not even a time', async () => {
    expect(await sides.redis().archive.read()).toEqual([]);
    await expect(sides.redis().archive.close()).resolves.toBeUndefined();
  });

  it('knows the newest slot of a counter though nothing is left in it', async () => {
    const fields = ['9', '0 5 0 0 0 0', 'slot', '12', 'total', '0 5 0 0 0 0'];
    await command("return redis.call('HSET', KEYS[1], unpack(ARGV))", [key], fields);
    await command("return redis.call('PEXPIRE', KEYS[1], 60000)", [key]);
    const [, record] = await sides.redis().archive.read();
    expect(record).toEqual({
      ...counter(),
      slots: [
        { slot: 9, spent: spend({ ev: 5n }) },
        { slot: 12, spent: spend({}) },
      ],
    });
  });

  it('that is broken is told of, with why', async () => {
    await command("return redis.call('SET', KEYS[1], 'x')", [key]);
    const broken = openRedisArchive({
      redis: { run: () => redis.run("return redis.call('HGETALL', KEYS[1])", [key], []) },
      keyPrefix,
    });
    for (const work of [() => broken.read(), () => broken.write([counter()])]) {
      await expect(work()).rejects.toMatchObject({
        name: 'RecordsError',
        code: 'LEDGER_UNAVAILABLE',
        details: expect.stringContaining('WRONGTYPE') as string,
        message: expect.stringMatching(
          /^the spend ledger in Redis can't be read or written: .*WRONGTYPE/,
        ) as string,
        cause: expect.any(Error) as Error,
      });
    }
  });

  it.each([
    [spend({ ev: 9n * 10n ** 30n })],
    [spend({ tickets: 9n * 10n ** 30n })],
    [spend({ sessions: 9n * 10n ** 30n })],
  ])('takes no sums that it could not add up, and nothing beside them: %#', async (spent) => {
    const { archive } = sides.redis();
    const half = { ev: spent.ev / 2n, tickets: spent.tickets / 2n, sessions: spent.sessions / 2n };
    const slots = [
      { slot: 1, spent: half },
      { slot: 2, spent: half },
    ];
    const inexact = { code: 'LEDGER_UNAVAILABLE' };
    const records = [counter(), { ...counter(), ruleId: 'b', slots }];
    await expect(archive.write(records)).rejects.toMatchObject(inexact);
    if (spent.ev > 0n) {
      const session = { kind: 'session', id: 'a', ev: spent.ev, expiresMs: 2 ** 45 } as const;
      await expect(archive.write([counter(), session])).rejects.toMatchObject(inexact);
    }
    expect(await archive.read()).toEqual([]);
    const most = slots.map(({ slot }) => ({
      slot,
      spent: { ev: half.ev - 1n, tickets: 0n, sessions: 0n },
    }));
    if (spent.ev > 0n) await archive.write([{ ...counter(), slots: most }]);
  });
});

describe('an archive in a folder', () => {
  it('is not made by reading it, and made by writing into it', async () => {
    const path = join(folder.path, 'a', 'store');
    const archive = openFileArchive(path);
    expect(await archive.read()).toEqual([]);
    expect(existsSync(join(folder.path, 'a'))).toBe(false);
    await archive.write([counter()]);
    expect(readdirSync(path)).toContain('spend.sqlite');
    await expect(archive.close()).resolves.toBeUndefined();
    expect(archive.close()).toBeInstanceOf(Promise);
  });

  it('has counters and sessions that still count, at the time of the clock', async () => {
    const archive = sides.embedded().archive;
    const slot = Math.floor(Date.now() / 60_000);
    const current = {
      ...counter(),
      slots: [
        { slot: slot - 59, spent: spend({ ev: much, tickets: 2n }) },
        { slot, spent: spend({ ev: 1n, sessions: 3n }) },
      ],
    };
    const lasting = sessionRecord('a', Date.now() + 3_600_000);
    await archive.write([
      lasting,
      sessionRecord('b', Date.now()),
      { ...current, ruleId: 'b' },
      current,
      { ...counter(), ruleId: 'over' },
    ]);
    const before = Date.now();
    const [clock, ...records] = await archive.read();
    expect(clock).toMatchObject({ kind: 'clock' });
    const { timeMs = 0 } = clock as { timeMs?: number };
    expect(timeMs).toBeGreaterThanOrEqual(before);
    expect(timeMs).toBeLessThanOrEqual(Date.now());
    expect(records).toEqual([{ ...current, ruleId: 'b' }, current, lasting]);
  });

  it('goes on from the later of two clocks', async () => {
    const archive = sides.embedded().archive;
    const ahead = Date.now() + 10 * hourMs;
    await archive.write([{ kind: 'clock', timeMs: ahead }]);
    await archive.write([{ kind: 'clock', timeMs: 5 }]);
    const [clock] = await archive.read();
    expect(clock).toEqual({ kind: 'clock', timeMs: ahead });
  });

  it('is closed after each use, also after one that failed', async () => {
    const archive = sides.embedded().archive;
    await archive.write([counter()]);
    await expect(archive.write([counter()])).rejects.toMatchObject({
      name: 'RecordsError',
      code: 'LEDGER_UNAVAILABLE',
      details: expect.stringContaining('UNIQUE') as string,
    });
    await archive.read();
    // a file that nobody has open has no log beside it
    expect(readdirSync(folder.path)).toEqual(['spend.sqlite']);
  });

  it('that can’t be used is told of as the ledger is, with what the system says', async () => {
    writeFileSync(join(folder.path, 'spend.sqlite'), 'not a database, '.repeat(1_000));
    const archive = sides.embedded().archive;
    const damaged = {
      name: 'RecordsError',
      code: 'LEDGER_UNAVAILABLE',
      message: expect.stringContaining('is damaged') as string,
      details: 'file is not a database',
    };
    await expect(archive.read()).rejects.toMatchObject(damaged);
    await expect(archive.write([counter()])).rejects.toMatchObject(damaged);
  });

  it('that was made for a newer program is told of', async () => {
    const path = join(folder.path, 'spend.sqlite');
    using database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 2');
    await expect(sides.embedded().archive.read()).rejects.toThrow('has version 2 of its format');
  });
});

describe('an export', () => {
  const head = '{"format":"livepeer-hsm-signer spend ledger","version":1,"records":';
  const records: LedgerRecord[] = [{ kind: 'clock', timeMs: 5 }, counter(), sessionRecord('a', 7)];

  it('is a line for each record behind one that counts them, and read back as it was', () => {
    const text = formatLedger(records);
    expect(text.split('\n')).toEqual([
      `${head}3}`,
      '{"kind":"clock","timeMs":5}',
      `{"kind":"counter","ruleId":"hourly","scope":"x","windowMs":3600000,"slots":[` +
        `{"slot":9,"spent":{"ev":"${much}","tickets":"2","sessions":"0"}},` +
        '{"slot":10,"spent":{"ev":"1","tickets":"0","sessions":"3"}}]}',
      `{"kind":"session","id":"a","ev":"${much}","expiresMs":7}`,
      '',
    ]);
    expect(parseLedger(text)).toEqual(records);
    expect(parseLedger(text.trimEnd())).toEqual(records);
    expect(parseLedger(formatLedger([]))).toEqual([]);
  });

  const refused = expect.objectContaining({
    name: 'RecordsError',
    code: 'LEDGER_UNAVAILABLE',
  }) as Error;
  const line = (record: LedgerRecord): string => formatLedger([record]).split('\n')[1] ?? '';

  it.each([
    ['a slot too few', line({ ...counter(), slots: [] })],
    ['a slot without a number', line(counter()).replace('"slot":9,', '')],
    ['a negative slot', line(counter()).replace('"slot":9', '"slot":-9')],
    ['half a slot', line(counter()).replace('"slot":9', '"slot":9.5')],
    ['an amount too few', line(counter()).replace('"tickets":"2",', '')],
    ['an amount too many', line(counter()).replace('"tickets":"2"', '"tickets":"2","x":"1"')],
    ['a number for an amount', line(counter()).replace('"2"', '2')],
    ['a sign', line(counter()).replace('"2"', '"-2"')],
    ['a fraction', line(counter()).replace('"2"', '"2.5"')],
    ['an amount of 61 digits', line(counter()).replace('"2"', `"${'2'.repeat(61)}"`)],
    ['nothing for an amount', line(counter()).replace('"2"', '""')],
    ['no window', line(counter()).replace('3600000', '0')],
    ['no rule', line(counter()).replace('"ruleId":"hourly",', '')],
    ['no scope', line(counter()).replace('"scope":"x",', '')],
    ['no id', line(sessionRecord('a', 7)).replace('"id":"a",', '')],
    ['no end', line(sessionRecord('a', 7)).replace(',"expiresMs":7', '')],
    ['another kind', line({ kind: 'clock', timeMs: 5 }).replace('clock', 'watch')],
    ['more than is known', line({ kind: 'clock', timeMs: 5 }).replace('}', ',"x":1}')],
    ['no JSON', 'x'],
    ['nothing', ''],
  ])('is refused with %s, and says in which line', (_, bad) => {
    const good = line({ kind: 'clock', timeMs: 5 });
    const text = [`${head}3}`, good, bad, good].join('\n');
    expect(() => parseLedger(text)).toThrow(refused);
    expect(() => parseLedger(text)).toThrow(
      "the file can't be imported: line 3 is no record of a spend ledger",
    );
  });

  it('takes amounts of up to 60 digits', () => {
    const long = line(counter()).replace('"2"', `"${'2'.repeat(60)}"`);
    expect(parseLedger(`${head}1}\n${long}`)).toMatchObject([
      { slots: [{ spent: { tickets: BigInt('2'.repeat(60)) } }, {}] },
    ]);
  });

  it.each([
    ['another format', '{"format":"x","version":1,"records":0}'],
    ['another version', '{"format":"livepeer-hsm-signer spend ledger","version":2,"records":0}'],
    ['no version', '{"format":"livepeer-hsm-signer spend ledger","records":0}'],
    ['no count', '{"format":"livepeer-hsm-signer spend ledger","version":1}'],
    ['a negative count', `${head}-1}`],
    ['more in its head', `${head}0,"x":1}`],
  ])('is none with %s', (_, text) => {
    expect(() => parseLedger(text)).toThrow(refused);
    expect(() => parseLedger(text)).toThrow('it is no export of a spend ledger');
  });

  it('that was cut, or has more than it says, is refused', () => {
    expect(() => parseLedger(`${head}3}\n{}\n{}`)).toThrow('it has 2 of 3 records');
    expect(() => parseLedger(`${head}1}\n{}\n{}`)).toThrow('it has 2 of 1 records');
    expect(() => parseLedger(`${head}1}\n\n\n`)).toThrow('it has 0 of 1 records');
  });

  it.each([
    [counter(), { ...counter(), ruleId: 'other' }, 'rule other, x,'],
    [counter(), { ...counter(), scope: '' }, 'rule hourly'],
    [counter(), counter(7_200_000), 'rule hourly, x,'],
    [counter(), { ...counter(), slots: counter().slots.slice(1) }, 'rule hourly, x,'],
    [sessionRecord('a', 2 ** 45), sessionRecord('b', 2 ** 45), 'a session'],
    [sessionRecord('a', 2 ** 45), sessionRecord('a', 2 ** 45 + 1), 'a session'],
  ] as const)('is not imported where anything else is: %#', async (brought, present, named) => {
    const written: unknown[] = [];
    const archive: LedgerArchive = {
      read: () => Promise.resolve([{ kind: 'clock', timeMs: 1 }, present]),
      write: (all) => Promise.resolve(void written.push(...all)),
      close: () => Promise.resolve(),
    };
    await expect(importLedger(archive, [brought])).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: `the ledger that should take it is not empty: ${named} has been spent from; nothing was imported`,
    });
    expect(written).toEqual([]);
  });

  it.each([
    [counter(), { ...counter(), ruleId: 'other' }],
    [counter(), { ...counter(), scope: '' }],
    [counter(), counter(7_200_000)],
    [sessionRecord('a', 2 ** 45), sessionRecord('b', 2 ** 45)],
  ])('brings what is not there yet, its clock each time: %#', async (brought, present) => {
    const written: unknown[] = [];
    const archive: LedgerArchive = {
      read: () => Promise.resolve([{ kind: 'clock', timeMs: 1 }, present]),
      write: (all) => Promise.resolve(void written.push(...all)),
      close: () => Promise.resolve(),
    };
    const clock = { kind: 'clock', timeMs: 9 } as const;
    expect(await importLedger(archive, [clock, present, brought])).toBe(1);
    expect(written).toEqual([clock, brought]);
  });
});

it.each([
  ['', 'it is no export'],
  ['{"format":"livepeer-hsm-signer spend ledger","version":2,"records":0}', 'it is no export'],
  ['{"format":"livepeer-hsm-signer spend ledger","version":1,"records":2}\n{}', 'has 1 of 2'],
  [
    '{"format":"livepeer-hsm-signer spend ledger","version":1,"records":1}\n{"kind":"session","id":"a","ev":"-1","expiresMs":1}',
    'line 2 is no record',
  ],
])('is not read from %j', (text, says) => {
  expect(() => parseLedger(text)).toThrow(says);
});

it('`ledger export` and `ledger import` move it by their configurations', async () => {
  const reserve = spend({ ev: much, tickets: 3n });
  const source = await openEmbeddedLedger({
    folder: join(folder.path, 'store'),
    log: () => undefined,
  });
  requireReserved(await source.reserve([hourly], reserve, never));
  await source.close();
  const embedded = folder.write(
    'embedded.yaml',
    `${devConfig}store: { kind: embedded, path: store }\n`,
  );
  const inRedis = folder.write(
    'redis.yaml',
    `${devConfig}store: { kind: redis, url: "${server.url}" }\n`,
  );
  const exported = await run(['ledger', 'export', '--config', embedded]);
  expect(exported).toMatchObject({ status: 0, stderr: 'exported 1 windows and 0 sessions\n' });
  const file = join(folder.path, 'ledger.jsonl');
  writeFileSync(file, exported.stdout);
  expect(await run(['ledger', 'import', file, '--config', inRedis])).toMatchObject({
    status: 0,
    stdout: '1 windows and 0 sessions: 1 imported, the others were there\n',
  });
  const ledger = createRedisLedger({ redis, keyPrefix: 'livepeer-hsm-signer:' });
  expect(await ledger.usage([hourly])).toEqual([reserve]);
});
