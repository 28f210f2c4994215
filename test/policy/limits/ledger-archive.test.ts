import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openEmbeddedLedger } from '../../../src/policy/limits/embedded-ledger.ts';
import { openFileArchive } from '../../../src/policy/limits/file-archive.ts';
import {
  type LedgerArchive,
  formatLedger,
  importLedger,
  parseLedger,
} from '../../../src/policy/limits/ledger-archive.ts';
import type { SessionCharge, SpendLedger } from '../../../src/policy/limits/ledger.ts';
import { openRedisArchive } from '../../../src/policy/limits/redis-archive.ts';
import { createRedisLedger } from '../../../src/policy/limits/redis-ledger.ts';
import { type Redis, connectRedis } from '../../../src/store/redis.ts';
import { Folder, devConfig, run } from '../../cli/cli.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { never, newWindow, requireReserved, spend } from './ledger-cases.ts';

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

it('an amount that Redis can’t add up exactly is refused, and nothing is written', async () => {
  const slots = [{ slot: 1, spent: spend({ ev: 9n * 10n ** 30n }) }];
  const { ruleId, scope, windowMs } = hourly;
  const record = { kind: 'counter', ruleId, scope, windowMs, slots } as const;
  const { archive } = sides.redis();
  await expect(importLedger(archive, [record])).rejects.toThrow('larger than Redis can add up');
  expect(await archive.read()).toEqual([]);
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
