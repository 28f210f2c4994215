import { z } from 'zod';
import { Informants, type InformantsOptions } from './informants.ts';
import { type HostAndPort, addressOf } from './redis-client.ts';
import { RedisFailure, describeFailure, startsWith } from './redis-failure.ts';
import { isRefusal } from './script-runner.ts';

/** Who knows which server is the master. */
export type MasterFinder = {
  /** The server that is the master now. Rejects when nobody can tell: with the refusal of whoever was asked, where there was one. */
  find(): Promise<HostAndPort>;
  /** Questions under way fail, and so do later ones. */
  close(): void;
};

type Located = HostAndPort & {
  /** the answer with the highest epoch is the newest: a server that was cut off or frozen gives an old one */
  readonly epoch: bigint;
};

/** How long the other servers may still take once one has answered. */
const othersTimeoutMs = 250;

export type SentinelOptions = InformantsOptions & {
  /** the master's name in the sentinels' configuration */
  readonly master: string;
  readonly nodes: readonly HostAndPort[];
};

const addressReply = z.tuple([z.string().min(1), z.coerce.number().int().min(1).max(65_535)]);
const masterReply = z.array(z.string());

/** Asks all sentinels. https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/ */
export function findBySentinel(options: SentinelOptions): MasterFinder {
  const { master, nodes } = options;
  const informants = new Informants(options);

  async function ask(node: HostAndPort): Promise<Located> {
    const questions = ['GET-MASTER-ADDR-BY-NAME', 'MASTER'];
    const [address, described] = await informants
      .ask(
        node,
        questions.map((question) => ['SENTINEL', question, master]),
      )
      .catch((error: unknown) => {
        if (!startsWith(error, 'ERR No such master')) throw error;
        throw new RedisFailure(`Redis answered that its sentinels know no master named ${master}`);
      });
    const [host, port] = addressReply.parse(address);
    const fields = masterReply.parse(described);
    return { host, port, epoch: BigInt(fields[fields.indexOf('config-epoch') + 1] ?? '') };
  }
  return {
    find: () => findNewest(nodes, ask, `no sentinel tells of a master named ${master}`),
    close: () => informants.close(),
  };
}

export type ClusterOptions = InformantsOptions & {
  /** some of the cluster's nodes; further ones are learned */
  readonly nodes: readonly HostAndPort[];
  /** the prefix of all keys, with their hash tag */
  readonly keyPrefix: string;
};

/** Asks the nodes who serves the slot that all keys are in. https://redis.io/docs/latest/commands/cluster-nodes/ */
export function findInCluster(options: ClusterOptions): MasterFinder {
  const { nodes, keyPrefix, tls } = options;
  const informants = new Informants(options);
  let learned: readonly HostAndPort[] = [];

  async function ask(node: HostAndPort): Promise<Located> {
    const [slot, table] = await informants.ask(node, [
      ['CLUSTER', 'KEYSLOT', keyPrefix],
      ['CLUSTER', 'NODES'],
    ]);
    const secured = tls();
    const prefersName = secured !== undefined && secured.serverName === undefined;
    const rows = String(table)
      .split('\n')
      .flatMap((line) => parseNode(line, node, prefersName) ?? []);
    const owner = rows.find(({ slots }) => slots.some(includes(Number(slot))));
    if (!owner)
      throw new RedisFailure('Redis answered that nobody serves the slot of store.keyPrefix');
    learned = rows.filter(({ id, masterId }) => id === owner.id || masterId === owner.id);
    return owner;
  }

  return {
    find() {
      const all = [...nodes, ...learned];
      const distinct = new Map(all.map((node) => [addressOf(node), node]));
      return findNewest([...distinct.values()], ask, 'no node of the cluster tells of a master');
    },
    close: () => informants.close(),
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

/** Asks all, and waits only shortly for the others once one has answered. */
async function findNewest(
  nodes: readonly HostAndPort[],
  ask: (node: HostAndPort) => Promise<Located>,
  nobody: string,
): Promise<HostAndPort> {
  const answers: Located[] = [];
  const failures: RedisFailure[] = [];
  const enough = Promise.withResolvers<undefined>();
  let timer: NodeJS.Timeout | undefined;
  const asked = nodes.map(async (node) => {
    try {
      answers.push(await ask(node));
    } catch (error) {
      failures.push(describeFailure(error));
      return;
    }
    timer ??= setTimeout(() => enough.resolve(undefined), othersTimeoutMs);
  });
  await Promise.race([Promise.allSettled(asked), enough.promise]);
  clearTimeout(timer);
  const [newest] = answers.toSorted((a, b) => Number(b.epoch - a.epoch));
  if (!newest) throw failures.find(({ message }) => isRefusal(message)) ?? new RedisFailure(nobody);
  return { host: newest.host, port: newest.port };
}
