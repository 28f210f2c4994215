import { setTimeout as sleep } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { createRedisLedger } from '../../src/policy/limits/redis-ledger.ts';
import type { Acknowledge } from '../../src/store/acknowledged-writes.ts';
import { connectRedis } from '../../src/store/redis.ts';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { Connection } from '../bench/connection.ts';
import type { Folder } from '../cli/cli.ts';
import { createRandom } from '../support/random.ts';
import type { ReplicatedRedis } from '../support/replicated-redis.ts';
import { firstPayment, nextPayment } from './guarded-signer.ts';
import { type ServeProcess, startServeProcess } from './serve-process.ts';

const random = createRandom('fail-overs');

const budget = 10_000;
const windowMs = 3_600_000;
const policy = `default: allow
rules: [{ id: budget, window: { per: all, every: 1h, tickets: ${budget} } }]`;
const keyPrefix = '{failover}:';

const instanceCount = 4;
const clientCount = 64;
/** The most tickets in one payment. */
const largestBatch = 40;
/** Between two payments of a client, on average, so that the budget lasts for several fail-overs. */
const pauseMs = 2_000;
/** Between two losses of the master. */
const masterIntervalMs = 5_000;
/** On a machine that takes longer than that to recover, payments are made for so long in between. */
const servedMs = 2_000;
const instanceIntervalMs = 7_000;
const freezeIntervalMs = 9_000;
const frozenMs = 1_000;

export type FailoverResult = {
  /** signatures of tickets that left the instances, by their audit logs */
  readonly signed: bigint;
  /** signatures that the key was to be asked for: with those that were given back before it was */
  readonly recorded: number;
  /** tickets that Redis has counted in the end */
  readonly counted: bigint;
  /** tickets with different signatures that clients hold */
  readonly held: number;
  readonly answered503: number;
  readonly mastersLost: number;
  readonly instancesKilled: number;
  readonly freezes: number;
  /** from the moment another master is named to the first payment */
  readonly recoveriesMs: readonly number[];
  readonly seconds: number;
};

/**
 * Has 64 clients spend a budget of 10,000 tickets over four instances, while every five seconds the master is killed, or killed and frozen in turns, and
 * instances are killed and replicas frozen in between, until the budget is used up.
 */
export async function spendThroughFailovers(
  folder: Folder,
  redis: ReplicatedRedis,
  acknowledge: Acknowledge,
  freezesMasters: boolean,
): Promise<FailoverResult> {
  const started = performance.now();
  const store = { ...redis.store, keyPrefix, acknowledge };
  const processes: ServeProcess[] = [];
  const serving: (ServeProcess | undefined)[] = [];
  const startInstance = async (index: number): Promise<void> => {
    const audit = `audit-${index}-${processes.length}`;
    const instance = await startServeProcess(folder, { policy, store, audit });
    processes.push(instance);
    serving[index] = instance;
  };
  // the first one makes the key
  for (let index = 0; index < instanceCount; index += 1) await startInstance(index);
  const expiration = processes[0]?.tokenExpiration ?? 0n;

  let hasEnded = false;
  const isOver = (): boolean => hasEnded;
  let answered503 = 0;
  let lastPaidMs = 0;
  const signatures = new Set<string>();

  async function client(): Promise<void> {
    let recipientRandHash = random.bytes(32);
    let state: { State: string; Sig: string } | undefined;
    let connection: Connection | undefined;
    for (;;) {
      const batch = 1 + random.int(largestBatch);
      const changes = { ticketParams: { recipientRandHash }, authToken: { expiration } };
      const body = await (state
        ? nextPayment(state, batch, changes)
        : firstPayment(batch, changes));
      const target = serving[random.int(instanceCount)];
      try {
        connection ??= target && (await Connection.open(target.url));
        if (!connection) throw new Error('the instance is down');
        const { status, text } = await connection.post('/generate-live-payment', body);
        if (status === 429 && text.includes('no room is left in its limit of')) break;
        if (status === 503) answered503 += 1;
        else if (status === 480) recipientRandHash = random.bytes(32);
        else {
          expect({ status, text }).toMatchObject({ status: 200 });
          lastPaidMs = performance.now();
          const answer = JSON.parse(text) as { payment: string; state: NonNullable<typeof state> };
          const { ticketSenderParams } = fromBinary(
            PaymentSchema,
            Buffer.from(answer.payment, 'base64'),
          );
          for (const { sig } of ticketSenderParams) {
            signatures.add(Buffer.from(sig).toString('hex'));
          }
          state = answer.state;
        }
      } catch (error) {
        if (error instanceof Error && error.name === 'AssertionError') throw error;
        connection?.close();
        connection = undefined;
      }
      await sleep(random.int(2 * pauseMs));
    }
    connection.close();
  }

  const recoveriesMs: number[] = [];
  let mastersLost = 0;
  let instancesKilled = 0;
  let freezes = 0;

  async function loseMasters(): Promise<void> {
    while (!isOver()) {
      const lostMs = performance.now();
      const master = await redis.findMaster();
      if (!master) throw new Error('nobody names a master');
      const isFrozen = freezesMasters && mastersLost % 2 === 1;
      mastersLost += 1;
      if (isFrozen) master.pause();
      else await master.kill();
      await redis.awaitOtherMaster(master);
      const electedMs = performance.now();
      if (isFrozen) master.resume();
      else await redis.rejoin(master);
      while (!isOver() && lastPaidMs < electedMs) await sleep(10);
      if (lastPaidMs > electedMs) recoveriesMs.push(Math.round(lastPaidMs - electedMs));
      await sleep(Math.max(servedMs, lostMs + masterIntervalMs - performance.now()));
    }
  }

  async function killInstances(): Promise<void> {
    for (let index = 0; !isOver(); index = (index + 1) % instanceCount) {
      await sleep(instanceIntervalMs);
      if (isOver()) return;
      instancesKilled += 1;
      await serving[index]?.kill();
      serving[index] = undefined;
      await startInstance(index);
    }
  }

  async function freezeReplicas(): Promise<void> {
    while (!isOver()) {
      await sleep(freezeIntervalMs);
      const master = await redis.findMaster();
      const replicas = redis.servers.filter((server) => server !== master);
      const replica = replicas[random.int(replicas.length)];
      if (!replica) throw new Error('there is no replica');
      freezes += 1;
      replica.pause();
      await sleep(frozenMs);
      replica.resume();
    }
  }

  const faults = Promise.all([loseMasters(), killInstances(), freezeReplicas()]);
  try {
    await Promise.all(Array.from({ length: clientCount }, client));
  } finally {
    hasEnded = true;
    await faults;
    for (const instance of serving) await instance?.[Symbol.asyncDispose]();
  }
  return {
    signed: BigInt(processes.reduce((sum, instance) => sum + instance.ticketsLetGo(), 0)),
    recorded: processes.reduce((sum, instance) => sum + instance.ticketSignatures(), 0),
    counted: await readCount(store),
    held: signatures.size,
    answered503,
    mastersLost,
    instancesKilled,
    freezes,
    recoveriesMs,
    seconds: Math.round((performance.now() - started) / 1000),
  };
}

async function readCount(store: object): Promise<bigint> {
  const { sentinel, cluster } = store as Record<string, { nodes: string[]; master: string }>;
  const nodes =
    (sentinel ?? cluster)?.nodes.map((node) => {
      const [host = '', port] = node.split(':');
      return { host, port: Number(port) };
    }) ?? [];
  const servers = sentinel
    ? { sentinel: { master: sentinel.master, nodes } }
    : { cluster: { nodes, keyPrefix } };
  let counted = 0n;
  await expect
    .poll(
      async () => {
        const redis = await connectRedis({ ...servers, log: () => undefined });
        const ledger = createRedisLedger({ redis, keyPrefix });
        const counter = { ruleId: 'budget', scope: '', windowMs, limits: {}, isEnforced: true };
        const usage = await ledger.usage([counter]).catch(() => undefined);
        await redis.close();
        counted = usage?.[0]?.tickets ?? 0n;
        return counted;
      },
      { timeout: 60_000 },
    )
    .toBeGreaterThan(0n);
  return counted;
}
