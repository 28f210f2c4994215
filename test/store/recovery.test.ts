import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RedisServers, connectRedis } from '../../src/store/redis.ts';
import { type Condition, type SimulatedServer, SimulatedServers } from './simulated-servers.ts';

// Vitest does not set these timers by its clock
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, value: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(value), ms);
      const stop = (): void => {
        clearTimeout(timer);
        reject(new Error('The operation was aborted'));
      };
      if (signal?.aborted) stop();
      else signal?.addEventListener('abort', stop, { once: true });
    }),
}));

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const masters = [7001, 7002] as const;
const sentinels = [8001, 8002, 8003] as const;
const keyPrefix = '{spending}:';
const nodesOf = (ports: readonly number[]) => ports.map((port) => ({ host: '127.0.0.1', port }));

/** Two servers, of which one is the master of the keys; `named` is the one that those who know name. */
class Shard {
  master: number = masters[0];
  named: number = masters[0];
  epoch = 1;
  readonly servers: SimulatedServers;

  constructor() {
    const data = (port: number): SimulatedServer => ({
      condition: 'up',
      answer: ([name, subcommand]) => {
        if (name === 'ROLE') return [this.master === port ? 'master' : 'slave'];
        if (name === 'CLUSTER' && subcommand === 'KEYSLOT') return 42;
        if (name === 'CLUSTER') return this.#table();
        if (name === 'EVALSHA' && this.master !== port) throw new Error('MOVED 42 127.0.0.1:1');
        return name === 'EVALSHA' ? 'done' : '';
      },
    });
    const tell: SimulatedServer['answer'] = ([, subcommand]) =>
      subcommand === 'MASTER'
        ? ['name', 'spending', 'config-epoch', `${this.epoch}`]
        : ['127.0.0.1', `${this.named}`];
    this.servers = new SimulatedServers(
      new Map([
        ...masters.map((port) => [port, data(port)] as const),
        ...sentinels.map((port) => [port, { condition: 'up', answer: tell }] as const),
      ]),
    );
  }

  nameMaster(): void {
    this.named = this.master;
    this.epoch += 1;
  }

  #table(): string {
    return masters
      .map((port, index) => {
        const isNamed = port === this.named;
        const [flags, range] = isNamed ? ['master', ' 0-16383'] : ['slave', ''];
        const of = isNamed ? '-' : 'id-of-the-named';
        const id = isNamed ? 'id-of-the-named' : `id-${index}`;
        return `${id} 127.0.0.1:${port}@1 ${flags} ${of} 0 0 ${this.epoch} connected${range}`;
      })
      .join('\n');
  }
}

const sentinel: RedisServers = { sentinel: { master: 'spending', nodes: nodesOf(sentinels) } };
const cluster: RedisServers = { cluster: { nodes: nodesOf([masters[0]]), keyPrefix } };
const single: RedisServers = { url: `redis://127.0.0.1:${masters[0]}` };

/** The host of the first master, with a sentinel on it. */
function setHost({ servers }: Shard, condition: Condition): void {
  servers.set(masters[0], condition);
  servers.set(sentinels[0], condition);
}

async function connect(servers: RedisServers) {
  const shard = new Shard();
  const { createClient } = shard.servers;
  const redis = await connectRedis({ ...servers, createClient, log: () => undefined });
  const run = () => redis.run('script', [], []);
  expect(await run()).toBe('done');
  return { shard, redis, run };
}

/** Ms until a script succeeds that is run every 10 ms; `onPassed` is told of those that have passed. */
async function measure(
  run: () => Promise<unknown>,
  onPassed: (ms: number) => void = () => undefined,
): Promise<number> {
  let recoveredMs = Infinity;
  for (let passedMs = 0; passedMs < Math.min(recoveredMs, 60_000); passedMs += 10) {
    onPassed(passedMs);
    run().then(
      () => (recoveredMs = passedMs),
      () => undefined,
    );
    await vi.advanceTimersByTimeAsync(10);
  }
  return recoveredMs;
}

describe.each([
  // sentinels ask the one that they promote once a second whether it has become the master
  { name: 'Sentinel', servers: sentinel, namedLateMs: 1_000 },
  { name: 'a Cluster', servers: cluster, namedLateMs: 0 },
])('over $name', ({ servers, namedLateMs }) => {
  it.each(['down', 'frozen'] as const)(
    'a script succeeds within 1.1 s after another master is named, when the old one is %s',
    async (lost) => {
      const recoveriesMs: number[] = [];
      for (const quietMs of [0, 90, 180, 270, 360]) {
        for (const electionMs of [900, 1_330, 2_570, 30_010]) {
          const { shard, redis, run } = await connect(servers);
          await vi.advanceTimersByTimeAsync(quietMs);
          setHost(shard, lost);
          await vi.advanceTimersByTimeAsync(electionMs);
          shard.master = masters[1];
          const recoveredMs = await measure(run, (passedMs) => {
            if (passedMs === namedLateMs) shard.nameMaster();
          });
          recoveriesMs.push(recoveredMs - namedLateMs);
          await redis.close();
        }
      }
      expect(Math.max(...recoveriesMs)).toBeLessThanOrEqual(1_100);
    },
  );
});

it.each([
  ['one server', single],
  ['Sentinel', sentinel],
  ['a Cluster', cluster],
])(
  'over %s a script succeeds within 5 s after a frozen link is whole again, which has forgotten its connections',
  async (_, servers) => {
    const recoveriesMs: number[] = [];
    for (const frozenMs of [500, 2_900, 3_700, 6_200, 30_010]) {
      const { shard, redis, run } = await connect(servers);
      setHost(shard, 'frozen');
      const until = performance.now() + frozenMs;
      while (performance.now() < until) {
        run().catch(() => undefined);
        await vi.advanceTimersByTimeAsync(100);
      }
      setHost(shard, 'up');
      recoveriesMs.push(await measure(run));
      await redis.close();
    }
    expect(Math.max(...recoveriesMs)).toBeLessThan(5_000);
  },
);
