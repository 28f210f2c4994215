import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { type RedisServer, freePort, startRedisServer } from './redis-server.ts';

/** Servers that stand in for each other. */
export type ReplicatedRedis = AsyncDisposable & {
  readonly servers: readonly RedisServer[];
  /** of the `store` section */
  readonly store: Readonly<Record<string, unknown>>;
  /** which server those who know name as the master of the keys; undefined while nobody does */
  findMaster(): Promise<RedisServer | undefined>;
  /** Resolves once another server than this one is named, and says itself that it is the master. */
  awaitOtherMaster(than: RedisServer): Promise<RedisServer>;
  /**
   * To be called before a master is lost. What it resolves with resolves as soon as another server says of itself that it has become
   * the master, whether it is named already or not.
   */
  watchElection(lost: RedisServer): Promise<() => Promise<RedisServer>>;
  /** Starts a server again as an operator should: not as a master where there is another one. */
  rejoin(server: RedisServer): Promise<void>;
  /** Resolves once so many replicas have all that the master has. */
  awaitReplicas(count: number): Promise<void>;
};

const masterName = 'spending';
const waitMs = 60_000;
/** Of a server before another one is elected: longer than a busy machine holds up one that works. */
const silenceMs = 2_000;
/** The default waits 5 s for other replicas before each full copy. */
const promptly = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];

/** One master and its replicas, watched by three sentinels that name another one after some seconds of silence. */
export async function startSentinels(
  replicaCount: number,
  ...serverArgs: readonly string[]
): Promise<ReplicatedRedis> {
  const args = [...promptly, ...serverArgs];
  const master = await startRedisServer(...args);
  const replicas = await Promise.all(
    Array.from({ length: replicaCount }, async () => {
      const replica = await startRedisServer(...args);
      await replica.command(`REPLICAOF 127.0.0.1 ${master.port}`);
      return replica;
    }),
  );
  const servers = [master, ...replicas];
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => startSentinel(master.port)));
  const nodes = sentinels.map(({ port }) => `127.0.0.1:${port}`);

  async function findMaster(): Promise<RedisServer | undefined> {
    for (const { port } of sentinels) {
      const reply = await query(port, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]);
      const [, named] = (reply ?? []) as string[];
      const found = servers.find((server) => `${server.port}` === named);
      if (found) return found;
    }
    return undefined;
  }

  const replicated = describe({
    servers,
    findMaster,
    store: { sentinel: { master: masterName, nodes } },
    claimsKeys: async ({ port }) => {
      const role = await query(port, ['ROLE']);
      return Array.isArray(role) && role[0] === 'master';
    },
    keyPrefix: '',
  });
  await poll('all replicas and sentinels know each other', async () => {
    const state = await query(sentinels[0]?.port ?? 0, ['SENTINEL', 'MASTER', masterName]);
    const fields = (state ?? []) as string[];
    const told = (name: string) => Number(fields[fields.indexOf(name) + 1]);
    return told('num-slaves') === replicaCount && told('num-other-sentinels') === 2;
  });
  await replicated.awaitReplicas(replicaCount);
  return {
    ...replicated,
    async rejoin(server) {
      const present = await findMaster();
      const isReplica = present && present !== server;
      await server.start(...(isReplica ? ['--replicaof', `127.0.0.1 ${present.port}`] : []));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(sentinels.map((sentinel) => sentinel.end()));
      await replicated[Symbol.asyncDispose]();
    },
  };
}

async function startSentinel(masterPort: number) {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-sentinel-'));
  const port = await freePort();
  const path = join(folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds ${masterName} ${silenceMs}`,
    `sentinel failover-timeout ${masterName} ${3 * silenceMs}`,
    `sentinel parallel-syncs ${masterName} 5`,
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  const child = spawn('/usr/bin/redis-sentinel', [path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await poll('a sentinel answers', async () => (await query(port, ['PING'])) === 'PONG');
  return {
    port,
    async end() {
      await endChild(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Three masters with a replica each. */
export async function startCluster(keyPrefix: string): Promise<ReplicatedRedis> {
  const servers = await Promise.all(
    Array.from({ length: 6 }, () =>
      startRedisServer(
        ...promptly,
        '--cluster-enabled',
        'yes',
        '--cluster-node-timeout',
        `${silenceMs}`,
      ),
    ),
  );
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`);
  const create = ['--cluster', 'create', ...nodes, '--cluster-replicas', '1', '--cluster-yes'];
  const creating = spawn('/usr/bin/redis-cli', create, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  creating.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [status] = (await once(creating, 'exit')) as [number | null];
  if (status !== 0) throw new Error(`redis-cli --cluster create ended with ${status}\n${output}`);

  const slot = (await query(servers[0]?.port ?? 0, ['CLUSTER', 'KEYSLOT', keyPrefix])) as number;

  /** The lines of those that have the slot. */
  function findOwners(nodesReply: unknown): string[] {
    const table = typeof nodesReply === 'string' ? nodesReply : '';
    return table.split('\n').filter((line) =>
      line
        .split(' ')
        .slice(8)
        .some((range) => {
          const [first = NaN, last = first] = range.split('-').map(Number);
          return first <= slot && slot <= last;
        }),
    );
  }

  async function findMaster(): Promise<RedisServer | undefined> {
    let newest: { readonly port: string; readonly epoch: number } | undefined;
    for (const { port } of servers) {
      const reply = await query(port, ['CLUSTER', 'NODES']);
      for (const line of findOwners(reply)) {
        const [, address = '', , , , , epoch = ''] = line.split(' ');
        const named = /:(\d+)@/.exec(address)?.[1];
        if (named === undefined || Number(epoch) < (newest?.epoch ?? -1)) continue;
        newest = { port: named, epoch: Number(epoch) };
      }
    }
    return servers.find(({ port }) => `${port}` === newest?.port);
  }

  const replicated = describe({
    servers,
    findMaster,
    store: { cluster: { nodes: nodes.slice(0, 3) }, keyPrefix },
    claimsKeys: async ({ port }) =>
      findOwners(await query(port, ['CLUSTER', 'NODES'])).some((line) => line.includes('myself')),
    keyPrefix,
  });
  await poll('the cluster is whole', async () => {
    const states = await Promise.all(servers.map(({ port }) => query(port, ['CLUSTER', 'INFO'])));
    return states.every((state) => /cluster_state:ok[^]*cluster_known_nodes:6/.test(String(state)));
  });
  await replicated.awaitReplicas(1);
  return replicated;
}

type Described = Pick<ReplicatedRedis, 'servers' | 'store' | 'findMaster'> & {
  /** whether the server says of itself that it is the master of the keys */
  readonly claimsKeys: (server: RedisServer) => Promise<boolean>;
  /** of keys that the master has */
  readonly keyPrefix: string;
};

function describe({
  servers,
  findMaster,
  store,
  claimsKeys,
  keyPrefix,
}: Described): ReplicatedRedis {
  return {
    servers,
    store: { kind: 'redis', ...store },
    findMaster,
    async awaitOtherMaster(than) {
      let other: RedisServer | undefined;
      await poll('another master', async () => {
        other = await findMaster();
        return other !== undefined && other !== than && (await claimsKeys(other));
      });
      if (!other) throw new Error('there is no other master');
      return other;
    },
    async watchElection(lost) {
      const others = servers.filter((server) => server !== lost);
      // one that was lost before, and was never told
      const claimants = new Set<RedisServer>();
      const look = async (): Promise<RedisServer | undefined> => {
        const claims = await Promise.all(others.map(claimsKeys));
        return others.find((server, index) => {
          if (claims[index] !== true) claimants.delete(server);
          return claims[index] === true && !claimants.has(server);
        });
      };
      for (const server of others) if (await claimsKeys(server)) claimants.add(server);
      return async () => {
        let elected: RedisServer | undefined;
        await poll('an election', async () => (elected = await look()) !== undefined);
        if (!elected) throw new Error('nobody was elected');
        return elected;
      };
    },
    rejoin: (server) => server.start(),
    awaitReplicas: (count) =>
      poll(`${count} replicas`, async () => {
        const master = await findMaster();
        if (!master) return false;
        const write = ['SET', `${keyPrefix}awaited`, '1'];
        const [, heard] = await queryAll(master.port, [write, ['WAIT', `${count}`, '100']]);
        return Number(heard) >= count;
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

async function poll(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited ${waitMs} ms in vain: ${what}`);
    await sleep(25);
  }
}

/** A client that is made from another one costs next to nothing, any other tens of ms of CPU. */
const template = createClient({ RESP: 2, disableClientInfo: true });

/** The reply, an error's message for one that is an error, undefined when there is none. */
async function query(port: number, command: string[]): Promise<unknown> {
  const [reply] = await queryAll(port, [command]);
  return reply;
}

/** The replies to commands over one connection, an error's message for one that is an error; none when it does not answer soon. */
async function queryAll(port: number, commands: readonly string[][]): Promise<readonly unknown[]> {
  const client = template.duplicate({
    socket: { host: '127.0.0.1', port, reconnectStrategy: false, connectTimeout: 500 },
  });
  const failed = Promise.withResolvers<readonly unknown[]>();
  const timer = setTimeout(() => failed.resolve([]), 500);
  client.on('error', () => failed.resolve([]));
  const answered = client
    .connect()
    .then(() =>
      Promise.all(
        commands.map((command) =>
          client
            .sendCommand(command)
            .catch((error: unknown) => (error instanceof Error ? error.message : undefined)),
        ),
      ),
    )
    .catch(() => []);
  try {
    return await Promise.race([answered, failed.promise]);
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}
