import { setTimeout as sleep } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { createRedisLedger } from '../../src/policy/limits/redis/redis-ledger.ts';
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
/** Between two attempts to pay, after an election. */
const probeIntervalMs = 50;

type SealedState = { readonly State: string; readonly Sig: string };

/** What follows when a server has become the master, in ms from that moment on. */
export type Recovery = {
  /** whether the one before it was frozen, not killed */
  readonly isFrozen: boolean;
  /** whether still another one was elected before all paid: a starved sentinel or node may take one that works for dead */
  readonly isElectedAgain: boolean;
  /** until those who know name it */
  readonly namedMs: number;
  /** until as many replicas as acknowledge writes have all that it has */
  readonly acknowledgedMs: number;
  /** until a payment succeeds on each instance that lives through it */
  readonly paidMs: readonly number[];
};

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
  readonly recoveries: readonly Recovery[];
  /** how long the slowest payment took that was answered while no master was lost: what the machine was like */
  readonly slowestMs: number;
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
  const end = (): void => void (hasEnded = true);
  let answered503 = 0;
  let isMasterLost = false;
  let slowestMs = 0;
  const signatures = new Set<string>();

  /** Takes the signatures of an answer, and returns its state. */
  function keep(text: string): SealedState {
    const { payment, state } = JSON.parse(text) as { payment: string; state: SealedState };
    const { ticketSenderParams } = fromBinary(PaymentSchema, Buffer.from(payment, 'base64'));
    for (const { sig } of ticketSenderParams) signatures.add(Buffer.from(sig).toString('hex'));
    return state;
  }

  async function client(): Promise<void> {
    let recipientRandHash = random.bytes(32);
    let state: SealedState | undefined;
    let connection: Connection | undefined;
    let target: ServeProcess | undefined;
    while (!isOver()) {
      const batch = 1 + random.int(largestBatch);
      const changes = { ticketParams: { recipientRandHash }, authToken: { expiration } };
      const body = await (state
        ? nextPayment(state, batch, changes)
        : firstPayment(batch, changes));
      try {
        if (!connection || !target) {
          target = serving[random.int(instanceCount)];
          if (!target) throw new Error('the instance is down');
          connection = await Connection.open(target.url);
        }
        const sentMs = performance.now();
        const { status, text } = await connection.post('/generate-live-payment', body);
        if (status === 429 && text.includes('no room is left in its limit of')) break;
        if (status === 503) answered503 += 1;
        else if (status === 480) recipientRandHash = random.bytes(32);
        else {
          expect({ status, text }).toMatchObject({ status: 200 });
          state = keep(text);
          notePayment(target, sentMs);
          if (!isMasterLost) slowestMs = Math.max(slowestMs, performance.now() - sentMs);
        }
      } catch (error) {
        if (error instanceof Error && error.name === 'AssertionError') throw error;
        connection?.close();
        connection = undefined;
      }
      await sleep(random.int(2 * pauseMs));
    }
    connection?.close();
  }

  const recoveries: Recovery[] = [];
  let mastersLost = 0;
  let instancesKilled = 0;
  let freezes = 0;

  let electedMs = Infinity;
  /** the first payment on each instance that was asked for after the election */
  const paidMs = new Map<ServeProcess, number>();

  function notePayment(instance: ServeProcess, sentMs: number): void {
    if (sentMs >= electedMs && !paidMs.has(instance)) paidMs.set(instance, performance.now());
  }

  /** Pays one ticket at a time until a payment has succeeded there, the instance is killed or all is spent. */
  async function awaitPayment(instance: ServeProcess): Promise<void> {
    while (!isOver() && serving.includes(instance) && !paidMs.has(instance)) {
      const changes = {
        ticketParams: { recipientRandHash: random.bytes(32) },
        authToken: { expiration },
      };
      const body = await firstPayment(1, changes);
      try {
        const sentMs = performance.now();
        const connection = await Connection.open(instance.url);
        const { status, text } = await connection.post('/generate-live-payment', body);
        connection.close();
        if (status === 429) return;
        if (status === 200) {
          keep(text);
          notePayment(instance, sentMs);
        }
      } catch {
        // it is being killed
      }
      await sleep(probeIntervalMs);
    }
  }

  async function loseMasters(): Promise<void> {
    const acknowledging =
      acknowledge === 'none' || acknowledge === 'aof' ? 0 : acknowledge.replicas;
    while (!isOver()) {
      const lostMs = performance.now();
      const master = await redis.findMaster();
      if (!master) throw new Error('nobody names a master');
      const isFrozen = freezesMasters && mastersLost % 2 === 1;
      mastersLost += 1;
      isMasterLost = true;
      const awaitElection = await redis.watchElection(master);
      if (isFrozen) master.pause();
      else await master.kill();
      const elected = await awaitElection();
      paidMs.clear();
      electedMs = performance.now();
      const since = (ms: number): number => Math.round(ms - electedMs);
      const paid = Promise.all(
        serving.flatMap((instance) => (instance ? [awaitPayment(instance)] : [])),
      );
      const acknowledged = redis.awaitReplicas(acknowledging).then(() => performance.now());
      await redis.awaitOtherMaster(master);
      const namedMs = performance.now();
      if (isFrozen) master.resume();
      else await redis.rejoin(master);
      const acknowledgedMs = await acknowledged;
      await paid;
      recoveries.push({
        isFrozen,
        isElectedAgain: (await redis.findMaster()) !== elected,
        namedMs: since(namedMs),
        acknowledgedMs: since(acknowledgedMs),
        paidMs: [...paidMs.values()].map(since),
      });
      isMasterLost = false;
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

  // whatever ends first, in success or not, ends the others
  const spent = Promise.all(Array.from({ length: clientCount }, client)).finally(end);
  const faults = Promise.all([loseMasters(), killInstances(), freezeReplicas()]).finally(end);
  try {
    await Promise.all([spent, faults]);
  } finally {
    await Promise.allSettled([spent, faults]);
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
    recoveries,
    slowestMs: Math.round(slowestMs),
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
