import { z } from 'zod';
import {
  type HostAndPort,
  type RedisEndpoint,
  type RedisLogin,
  type RedisTls,
  createSingleClient,
} from './redis-client.ts';
import { RedisFailure } from './redis-failure.ts';

/** Which server is the master now. Rejects when nobody tells. */
export type FindMaster = () => Promise<HostAndPort>;

type Located = HostAndPort & {
  /** of two answers the one with the higher epoch is the newer one: whoever was cut off, or frozen, tells of an old one */
  readonly epoch: bigint;
};

/** For all that is asked of one that knows. */
const askTimeoutMs = 1_000;
/** For the others, once one has answered. */
const othersTimeoutMs = 250;

export type SentinelOptions = {
  /** the master's name in the sentinels' configuration */
  readonly master: string;
  readonly nodes: readonly HostAndPort[];
  readonly login: RedisLogin | undefined;
  readonly tls: () => RedisTls | undefined;
};

const addressReply = z.tuple([z.string().min(1), z.coerce.number().int().min(1).max(65_535)]);
const masterReply = z.array(z.string());

/** Asks all sentinels. https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/ */
export function findBySentinel({ master, nodes, login, tls }: SentinelOptions): FindMaster {
  async function ask(node: HostAndPort): Promise<Located> {
    const [address, described] = await askOnce({ at: node, login, tls: tls() }, [
      ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master],
      ['SENTINEL', 'MASTER', master],
    ]);
    const [host, port] = addressReply.parse(address);
    const fields = masterReply.parse(described);
    return { host, port, epoch: BigInt(fields[fields.indexOf('config-epoch') + 1] ?? '') };
  }
  return () => findNewest(nodes, ask, `no sentinel tells of a master named ${master}`);
}

export type ClusterOptions = {
  /** some of the cluster's nodes; further ones are learned */
  readonly nodes: readonly HostAndPort[];
  /** what all keys begin with, their hash tag in it */
  readonly keyPrefix: string;
  readonly login: RedisLogin | undefined;
  readonly tls: () => RedisTls | undefined;
};

/** Asks the nodes who serves the slot that all keys are in. https://redis.io/docs/latest/commands/cluster-nodes/ */
export function findInCluster({ nodes, keyPrefix, login, tls }: ClusterOptions): FindMaster {
  let learned: readonly HostAndPort[] = [];

  async function ask(node: HostAndPort): Promise<Located> {
    const secured = tls();
    const [slot, table] = await askOnce({ at: node, login, tls: secured }, [
      ['CLUSTER', 'KEYSLOT', keyPrefix],
      ['CLUSTER', 'NODES'],
    ]);
    const prefersName = secured !== undefined && secured.serverName === undefined;
    const rows = String(table)
      .split('\n')
      .flatMap((line) => parseNode(line, node, prefersName) ?? []);
    const owner = rows.find(({ slots }) => slots.some(includes(Number(slot))));
    if (!owner) throw new RedisFailure('nobody serves the slot of store.keyPrefix');
    learned = rows.filter(({ id, masterId }) => id === owner.id || masterId === owner.id);
    return owner;
  }

  return () => {
    const all = [...nodes, ...learned];
    const distinct = new Map(all.map((node) => [`${node.host}:${node.port}`, node]));
    return findNewest([...distinct.values()], ask, 'no node of the cluster tells of a master');
  };
}

type ClusterNode = Located & {
  readonly id: string;
  readonly masterId: string;
  readonly slots: readonly string[];
};

/** `<id> <ip:port@cport[,hostname]> <flags> <master> <ping> <pong> <epoch> <link> <slot> …`; one that does not know its address has no ip. */
function parseNode(
  line: string,
  asked: HostAndPort,
  prefersName: boolean,
): ClusterNode | undefined {
  const [id, address = '', , masterId = '', , , epoch = '', , ...slots] = line.trim().split(' ');
  const [, ip = '', port = '', name = ''] =
    /^(.*):(\d+)(?:@\d+)?(?:,([^,]*).*)?$/.exec(address) ?? [];
  if (id === undefined || port === '' || !/^\d+$/.test(epoch)) return undefined;
  const known = prefersName && name !== '' ? name : ip;
  const host = known === '' ? asked.host : known;
  return { id, masterId, host, port: Number(port), epoch: BigInt(epoch), slots };
}

function includes(slot: number): (range: string) => boolean {
  return (range) => {
    const [, first = '', last = first] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
    return first !== '' && Number(first) <= slot && slot <= Number(last);
  };
}

/** Waits for all, but not long once one has answered. */
async function findNewest(
  nodes: readonly HostAndPort[],
  ask: (node: HostAndPort) => Promise<Located>,
  nobody: string,
): Promise<HostAndPort> {
  const answers: Located[] = [];
  const enough = Promise.withResolvers<undefined>();
  let timer: NodeJS.Timeout | undefined;
  const asked = nodes.map(async (node) => {
    answers.push(await ask(node));
    timer ??= setTimeout(() => enough.resolve(undefined), othersTimeoutMs);
  });
  await Promise.race([Promise.allSettled(asked), enough.promise]);
  clearTimeout(timer);
  const [newest] = answers.toSorted((a, b) => Number(b.epoch - a.epoch));
  if (!newest) throw new RedisFailure(nobody);
  return { host: newest.host, port: newest.port };
}

/** Over a connection of its own, which ends with the answers. */
async function askOnce(
  endpoint: RedisEndpoint,
  commands: readonly string[][],
): Promise<readonly unknown[]> {
  const client = await createSingleClient(endpoint);
  const failed = Promise.withResolvers<never>();
  const timer = setTimeout(() => failed.reject(new RedisFailure('no answer')), askTimeoutMs);
  client.on('error', (error: unknown) => failed.reject(error));
  const answered = client
    .connect()
    .then(() => Promise.all(commands.map((command) => client.sendCommand(command))));
  answered.catch(() => undefined);
  try {
    return await Promise.race([answered, failed.promise]);
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}
