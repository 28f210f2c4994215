import { expect, it, onTestFinished } from 'vitest';
import { connectRedis } from '../../src/store/redis.ts';
import { Secret } from '../../src/secret.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';

async function startServer(...args: readonly string[]): Promise<RedisServer> {
  const server = await startRedisServer(...args);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

async function connect(url: Secret | string) {
  const lines: string[] = [];
  const redis = await connectRedis({
    url,
    log: (level, message, fields) =>
      lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
  });
  onTestFinished(() => redis.close());
  const count = (key: string): Promise<unknown> =>
    redis.run("return redis.call('INCR', KEYS[1])", [key], []).catch(String);
  return { redis, lines, count };
}

/** Recovery takes until the next attempt to connect. */
const soon = { timeout: 60_000, interval: 50 };

it('runs a script with its keys and arguments, also after Redis has forgotten it', async () => {
  const server = await startServer();
  const { redis } = await connect(server.url);
  const run = () => redis.run('return {KEYS[1], ARGV[1], 7, false}', ['a'], ['b']);
  expect(await run()).toEqual(['a', 'b', 7, null]);
  await server.command('SCRIPT FLUSH');
  expect(await run()).toEqual(['a', 'b', 7, null]);
});

it.each(['allkeys-lru', 'allkeys-random', 'volatile-lru', 'volatile-ttl'])(
  'refuses a Redis that evicts by %s, naming what to do',
  async (policy) => {
    const server = await startServer('--maxmemory-policy', policy);
    await expect(connect(server.url)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(
        new RegExp(`^store\\.url: .*maxmemory-policy is ${policy}.*noeviction`),
      ) as string,
    });
  },
);

it('does not use a Redis that has come to evict since, until it no longer does', async () => {
  const server = await startServer();
  const { count } = await connect(server.url);
  expect(await count('a')).toBe(1);
  await server.stop();
  await server.start();
  await server.command('CONFIG SET maxmemory-policy allkeys-lru');
  await server.command('CLIENT KILL TYPE normal SKIPME yes');
  await expect.poll(() => count('a'), soon).toContain('Error');
  await server.command('CONFIG SET maxmemory-policy noeviction');
  await expect.poll(() => count('b'), soon).toBe(1);
});

it('trusts the operator where the account may not ask for the policy', async () => {
  const server = await startServer('--maxmemory-policy', 'allkeys-lru');
  await server.command('ACL SETUSER signer on >pw ~* +@all -info');
  const { count } = await connect(server.url.replace('redis://', 'redis://signer:pw@'));
  expect(await count('a')).toBe(1);
});

it('tells what Redis complains about by its code', async () => {
  const server = await startServer();
  const { redis } = await connect(server.url);
  await expect(redis.run("return redis.error_reply('ERR full')", [], [])).rejects.toThrow(
    /^Redis answered ERR$/,
  );
});

it('tells of a right that a script lacks, and of a database and a password that are not there', async () => {
  const server = await startServer();
  await server.command('ACL SETUSER signer on >pw ~* +@all -incr');
  const as = (login: string): string => server.url.replace('redis://', `redis://${login}@`);
  const { count } = await connect(as('signer:pw'));
  expect(await count('a')).toMatch(/Redis answered NOPERM/);
  for (const [url, complaint] of [
    [`${server.url}/99`, /no database of the number in store\.url/],
    [as(':pw'), /it has no password, and one is configured/],
  ] as const) {
    const { lines } = await connect(url);
    expect(lines).toEqual([expect.stringMatching(complaint)]);
  }
});

it('connects later when Redis is not there at first, and complains once', async () => {
  const server = await startServer();
  await server.stop();
  const { count, lines } = await connect(server.url);
  expect(await count('a')).toBe('Error: there is no connection to Redis');
  await server.start();
  await expect.poll(() => count('a'), soon).toBe(1);
  expect(lines).toEqual([
    expect.stringContaining("warn Redis can't be reached"),
    'info connected to Redis {}',
  ]);
});

it('fails what is under way when the connection ends, and sends nothing twice', async () => {
  const server = await startServer();
  const { count } = await connect(server.url);
  expect(await count('a')).toBe(1);
  server.pause();
  const underWay = Array.from({ length: 50 }, () => count('a'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await server.kill();
  for (const outcome of await Promise.all(underWay)) expect(outcome).toMatch(/^\w*Error/);
  await server.start();
  await expect.poll(() => count('b'), soon).toBe(1);
  expect(await count('a')).toBeLessThanOrEqual(52);
});

it('is not closed before answers that were given up have come, and what comes of them is done', async () => {
  const server = await startServer();
  const { redis, count } = await connect(server.url);
  expect(await count('asked')).toBe(1);
  server.pause();
  const undo = (reply: unknown): void => void (reply === 2 && count('undone'));
  const script = "return redis.call('INCR', KEYS[1])";
  await expect(redis.run(script, ['asked'], [], undo)).rejects.toThrow('no answer from Redis');
  const closed = redis.close();
  server.resume();
  await closed;
  const { count: countAgain } = await connect(server.url);
  expect(await countAgain('asked')).toBe(3);
  expect(await countAgain('undone')).toBe(2);
});

it('is closed in time when Redis stays silent', async () => {
  const server = await startServer();
  const { redis, count } = await connect(server.url);
  expect(await count('a')).toBe(1);
  server.pause();
  const asked = count('a');
  await redis.close();
  expect(await asked).toMatch(/^Error: no answer from Redis/);
  await expect(count('a')).resolves.toBe('Error: there is no connection to Redis');
});

it('gives up a connection that nothing is answered on', async () => {
  const server = await startServer();
  const { count, lines } = await connect(server.url);
  expect(await count('a')).toBe(1);
  server.pause();
  await expect.poll(() => count('a'), soon).toBe('Error: there is no connection to Redis');
  expect(lines.at(-1)).toContain('Redis has not answered for 3000 ms');
  server.resume();
  await expect.poll(() => count('b'), soon).toBe(1);
});

it('leaves a server that has become a replica', async () => {
  const server = await startServer();
  const { count, lines } = await connect(server.url);
  expect(await count('a')).toBe(1);
  expect(await server.command('REPLICAOF 127.0.0.1 1')).toBe('+OK');
  expect(await count('a')).toMatch('READONLY');
  expect(await server.command('REPLICAOF NO ONE')).toBe('+OK');
  await expect.poll(() => count('a'), soon).toBe(2);
  expect(lines.filter((line) => line.startsWith('info connected'))).not.toHaveLength(1);
});

it('goes on to tell of a refusal that ended the connection when a read succeeds after it', async () => {
  const server = await startServer();
  const { redis, count } = await connect(server.url);
  const read = () => redis.run("return redis.call('EXISTS', KEYS[1])", ['a'], []);
  expect(await count('a')).toBe(1);
  expect(await read()).toBe(1);
  expect(await server.command('REPLICAOF 127.0.0.1 1')).toBe('+OK');
  expect(await Promise.all([count('a'), read()])).toEqual(['Error: Redis answered READONLY', 1]);
  await expect(read()).rejects.toThrow('Redis answered READONLY');
});

it('logs in with the password of the URL, and shows it nowhere', async () => {
  const server = await startServer('--requirepass', 'correct-horse');
  const withPassword = (password: string) =>
    new Secret(server.url.replace('redis://', `redis://:${password}@`));
  const right = await connect(withPassword('correct-horse'));
  expect(await right.count('a')).toBe(1);
  const wrong = await connect(withPassword('battery-staple'));
  expect(await wrong.count('a')).toBe('Error: Redis answered WRONGPASS');
  expect(wrong.lines.join()).toContain('WRONGPASS');
  expect(wrong.lines.join()).not.toContain('battery-staple');
});

it.each(['http://127.0.0.1:6379', 'redis', ''])('does not take "%s" for a URL', async (url) => {
  await expect(connectRedis({ url, log: () => undefined })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  });
});
