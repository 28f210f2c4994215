import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Acknowledge } from '../../src/store/acknowledged-writes.ts';
import { type RedisServers, connectRedis } from '../../src/store/redis.ts';
import type { ReplicatedRedis } from '../support/replicated-redis.ts';

/** Recovery takes an election. */
const soon = { timeout: 60_000, interval: 25 };
export const keyPrefix = '{test}:';

async function connect(servers: RedisServers, acknowledge: Acknowledge = 'none') {
  const lines: string[] = [];
  const redis = await connectRedis({
    ...servers,
    acknowledge,
    log: (level, message, fields) =>
      lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
  });
  onTestFinished(() => redis.close());
  const late: unknown[] = [];
  const count = (key: string): Promise<unknown> =>
    redis
      .run("return redis.call('INCR', KEYS[1])", [keyPrefix + key], [], (reply) => late.push(reply))
      .catch(String);
  return { redis, lines, late, count };
}

function addresses(nodes: unknown): { host: string; port: number }[] {
  return (nodes as string[]).map((node) => {
    const [host = '', port] = node.split(':');
    return { host, port: Number(port) };
  });
}

async function requireMaster(servers: ReplicatedRedis) {
  const master = await servers.findMaster();
  if (!master) throw new Error('there is no master');
  return master;
}

/** What holds however the master is found. */
export function describeServers(
  name: string,
  replicas: number,
  start: () => Promise<ReplicatedRedis>,
  includesFrozen = true,
): void {
  describe(name, () => {
    let servers: ReplicatedRedis;
    let found: RedisServers;

    beforeAll(async () => {
      servers = await start();
      const { sentinel, cluster } = servers.store as Record<
        string,
        { nodes: string[]; master: string } | undefined
      >;
      found = sentinel
        ? { sentinel: { master: sentinel.master, nodes: addresses(sentinel.nodes) } }
        : { cluster: { nodes: addresses(cluster?.nodes), keyPrefix } };
    }, 60_000);
    afterAll(() => servers[Symbol.asyncDispose]());

    it('goes to the master that is elected when the old one is killed, with all that was acknowledged', async () => {
      const master = await requireMaster(servers);
      // of a cluster it knows nobody but the one that will be lost, and learns of the others
      const told =
        'cluster' in found
          ? { cluster: { nodes: [{ host: '127.0.0.1', port: master.port }], keyPrefix } }
          : found;
      const { count } = await connect(told, { replicas });
      let acknowledged = 0;
      for (let n = 0; n < 50; n += 1) {
        const outcome = await count('killed');
        if (typeof outcome === 'number') acknowledged = outcome;
      }
      expect(acknowledged).toBe(50);
      const underWay = Array.from({ length: 20 }, () => count('killed'));
      await master.kill();
      for (const outcome of await Promise.all(underWay)) {
        if (typeof outcome === 'number') acknowledged = Math.max(acknowledged, outcome);
      }
      await servers.awaitOtherMaster(master);
      await servers.rejoin(master);
      await servers.awaitReplicas(replicas);
      let next: unknown;
      await expect.poll(async () => (next = await count('killed')), soon).toBeTypeOf('number');
      expect(next).toBeGreaterThan(acknowledged);
    });

    it('takes a write for none that the replicas do not acknowledge, and hands its answer to whoever undoes it', async () => {
      const { count, late } = await connect(found, { replicas });
      const master = await requireMaster(servers);
      await servers.awaitReplicas(replicas);
      expect(await count('unheard')).toBe(1);
      await master.command('CLIENT PAUSE 1 WRITE');
      expect(await master.command('CONFIG SET repl-timeout 60')).toBe('+OK');
      for (const server of servers.servers) if (server !== master) server.pause();
      try {
        expect(await Promise.all([count('unheard'), count('unheard')])).toEqual(
          Array(2).fill(
            `Error: not acknowledged: 0 of ${replicas} replicas had the write within 700 ms`,
          ),
        );
      } finally {
        for (const server of servers.servers) server.resume();
      }
      expect(late).toEqual([2, 3]);
      await expect.poll(() => count('unheard'), soon).toBe(4);
    });

    if (!includesFrozen) return;
    it('leaves a master that hangs for the one that is elected; the old one, back again, counts for nothing', async () => {
      const { count, lines } = await connect(found);
      const master = await requireMaster(servers);
      expect(await count('frozen')).toBe(1);
      await servers.awaitReplicas(replicas);
      master.pause();
      const lost = count('frozen');
      await servers.awaitOtherMaster(master);
      await expect.poll(() => count('frozen'), soon).toBe(2);
      expect(await lost).toMatch(/Error/);
      master.resume();
      expect(await count('frozen')).toBe(3);
      expect(lines.at(-1)).toBe('info connected to Redis {}');
    });
  });
}
