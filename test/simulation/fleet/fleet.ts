import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { hash } from 'node:crypto';
import { isSignerError } from '../../../src/errors.ts';
import { anonymous } from '../../../src/auth/principal.ts';
import type { Caller } from '../../../src/auth/authorization.ts';
import type { PaymentCall } from '../../../src/payments/generate-live-payment.ts';
import { OrchestratorInfoSchema, PaymentSchema } from '../../../src/wire/net_pb.ts';
import { Databases } from './database.ts';
import { Device } from './device.ts';
import { Disk } from './disk.ts';
import { Draw } from './draw.ts';
import { type Life, folderOf, keyPrefix, startLife } from './instance.ts';
import { type Owner, Kernel, StuckError, startedAtMs } from './kernel.ts';
import { SimulatedThread } from './ledger-thread.ts';
import type { Fault, Operation, Plan } from './plan.ts';
import { useMachine } from './platform.ts';
import { policies, ticketEvs } from './policies.ts';
import { RedisNetwork } from './redis-client.ts';
import { RedisServer } from './redis-server.ts';
import type { StateTable } from './state-table.ts';
import { type Ask, type Violation, Watcher, scopeOf } from './watcher.ts';

/** More than any schedule takes that comes to an end. */
const maxSteps = 60_000;
/** A client that has no answer by then gives up. */
const patienceUs = 8_000_000;
/** Whatever was under way is over so long after the last fault and operation. */
const settleUs = 20_000_000;
/** A signer starts so long after all works again: its first signature may wait for half a minute. */
const startsWithinUs = 90_000_000;
const bootPauseUs = 300_000;
/** A store without trouble has long taken a reservation back by then. */
const givesBackWithinUs = 2_000_000;

type Sealed = { readonly State: string; readonly Sig: string };

/** What a client has of a session after a payment. */
type Known = { readonly sealed: Sealed; readonly manifestId: string };

type Sent = {
  readonly body: string;
  readonly manifestId: string;
  readonly ask: Omit<Ask, 'id' | 'atUs' | 'usedBefore'>;
  readonly key: string | undefined;
};

type Client = {
  readonly tenant: string;
  readonly principal: string;
  readonly orchestrator: number;
  readonly states: Known[];
  readonly requests: Sent[];
};

type Instance = {
  owner: Owner;
  life: Life | undefined;
  isBooting: boolean;
  threads: SimulatedThread[];
  readonly device: Device;
  bootError: unknown;
  /** its wall clock was set forward */
  isAhead: boolean;
};

/** A request that an instance has, until it has answered or died. */
type UnderWay = { readonly ask: Ask; readonly owner: Owner; readonly sinceUs: number };

/** By how much a clock that is set forward is: more than any window has. */
const forwardMs = 7_200_000;

const infos = new Map<string, string>();
const uint = (value: bigint): Uint8Array => {
  const digits = value.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
};
const maxUint256 = 2n ** 256n - 1n;

const orchestratorAddress = (place: number): string => `0x${`${place + 3}c`.repeat(20)}`;

/** Protobuf `net.OrchestratorInfo`, base64: two thirds of a ticket's worth for a pixel, or half of that. */
function infoOf(orchestrator: number, params: number, isCheaper: boolean): string {
  const name = `${orchestrator} ${params} ${isCheaper}`;
  const known = infos.get(name);
  if (known !== undefined) return known;
  const ev = ticketEvs[orchestrator] ?? 1n;
  const address = Buffer.from(orchestratorAddress(orchestrator).slice(2), 'hex');
  const info = create(OrchestratorInfoSchema, {
    transcoder: `https://orchestrator-${orchestrator}.example:8935`,
    address,
    priceInfo: { pricePerUnit: isCheaper ? ev : 2n * ev, pixelsPerUnit: 3n },
    ticketParams: {
      recipient: address,
      faceValue: uint(3n * ev),
      winProb: uint(maxUint256 / 3n),
      recipientRandHash: Buffer.alloc(32, 16 * orchestrator + params + 1),
      seed: uint(77n),
      expirationBlock: uint(20_000_040n),
      expirationParams: { creationRound: 4_000n, creationRoundBlockHash: Buffer.alloc(32, 0x5a) },
    },
    authToken: {
      token: Buffer.from('token'),
      sessionId: `session-${orchestrator}`,
      expiration: BigInt(startedAtMs / 1000 + 86_400),
    },
  });
  const encoded = Buffer.from(toBinary(OrchestratorInfoSchema, info)).toString('base64');
  infos.set(name, encoded);
  return encoded;
}

export type Outcome = {
  readonly violation: Violation | undefined;
  readonly answers: number;
  readonly events: number;
  readonly trace: readonly string[];
};

/** Plays a plan to its end, or to the first invariant that breaks. */
export async function playPlan(plan: Plan, states: StateTable | undefined): Promise<Outcome> {
  const world = new World(plan, states);
  try {
    return await world.play();
  } finally {
    world.end();
  }
}

class World {
  readonly #plan: Plan;
  readonly #states: StateTable | undefined;
  readonly #kernel = new Kernel();
  readonly #draw: Draw;
  readonly #watcher: Watcher;
  readonly #disk: Disk;
  readonly #databases: Databases;
  readonly #network: RedisNetwork | undefined;
  readonly #instances: Instance[];
  readonly #clients: readonly Client[];
  readonly #underWay = new Set<UnderWay>();
  /** requests whose reservations nobody can know the fate of */
  readonly #doubtful: Ask[] = [];
  /** requests that ended before the store had answered, whose reservations are given back when it does */
  readonly #givenUp = new Set<UnderWay & { readonly untilUs: number }>();
  readonly #trace: string[] = [];
  #hasStoreTrouble = false;
  #isChainStale = false;
  #open: number;
  #lastUs = 0;
  #answers = 0;
  #requests = 0;

  constructor(plan: Plan, states: StateTable | undefined) {
    this.#plan = plan;
    this.#states = states;
    this.#draw = new Draw(plan.seed ^ 0x5bd1e995);
    const kernel = this.#kernel;
    const { windows, sessionEv } = this.#policy;
    this.#watcher = new Watcher({
      rules: windows,
      sessionEv,
      forks: plan.forks,
      keepsAnswers: plan.answersMaxBytes > 1e6,
      nowUs: () => kernel.nowUs,
    });
    const watcher = this.#watcher;
    this.#disk = new Disk(kernel, this.#draw, {
      wrote: (path, owner, content, from) => watcher.wrote(path, owner, content, from),
      synced: (path, durable) => watcher.synced(path, durable),
    });
    this.#databases = new Databases(kernel);
    this.#network =
      plan.store === 'redis'
        ? new RedisNetwork(kernel, this.#draw, new RedisServer(kernel, this.#draw))
        : undefined;
    this.#instances = Array.from({ length: plan.instances }, (_, place) => {
      const instance: Instance = {
        owner: { name: `signer-${place}`, isAlive: true, wallOffsetMs: 0 },
        life: undefined,
        isBooting: false,
        threads: [],
        bootError: undefined,
        isAhead: false,
        device: new Device(kernel, this.#draw, {
          asked: (digest) => {
            watcher.keyAsked(kernel.owner, digest);
            this.#note('key asked by', watcher.lastAsker);
          },
          signed: (digest, signature) => watcher.signed(digest, signature),
        }),
      };
      return instance;
    });
    this.#clients = [0, 1].map((place) => ({
      tenant: place === 0 ? 'acme' : this.#draw.pick(['acme', 'beta']),
      principal: '',
      orchestrator: this.#draw.int(ticketEvs.length),
      states: [],
      requests: [],
    }));
    for (const [place, client] of this.#clients.entries()) {
      (client as { principal: string }).principal = `${client.tenant}:user-${place}`;
    }
    this.#open = plan.operations.length;
    useMachine({
      kernel,
      disk: this.#disk,
      openDatabase: (path) => this.#databases.open(path),
      startThread: (folder) => {
        const thread = new SimulatedThread(folder, kernel, this.#draw);
        for (const { owner, threads } of this.#instances)
          if (owner === kernel.owner) threads.push(thread);
        return thread;
      },
    });
  }

  get #policy() {
    const policy = policies[this.#plan.policy];
    if (!policy) throw new Error(`there is no policy ${this.#plan.policy}`);
    return policy;
  }

  async play(): Promise<Outcome> {
    const { operations, faults } = this.#plan;
    const kernel = this.#kernel;
    for (const instance of this.#instances) this.#boot(instance);
    // the first operations come once all are up
    const start = 100_000;
    for (const operation of operations)
      kernel.after(start + operation.atUs, () => this.#begin(operation));
    let healedUs = start;
    for (const fault of faults) {
      kernel.after(start + fault.atUs, () => this.#break(fault));
      kernel.after(start + fault.atUs + fault.forUs, () => this.#heal(fault));
      healedUs = Math.max(healedUs, start + fault.atUs + fault.forUs);
    }
    try {
      await kernel.run(() => this.#isOver(healedUs), maxSteps);
      if (this.#open > 0)
        this.#watcher.fail('every-request-ends', 'somebody waits for what never happens');
      if (!this.#watcher.violation) this.#requireRest();
    } catch (error) {
      if (!(error instanceof StuckError)) throw error;
      this.#watcher.fail('every-request-ends', error.message);
    }
    const { violation } = this.#watcher;
    return { violation, answers: this.#answers, events: kernel.steps, trace: this.#trace };
  }

  end(): void {
    for (const { owner } of this.#instances) owner.isAlive = false;
    this.#databases.close();
    useMachine(undefined);
  }

  #isOver(healedUs: number): boolean {
    if (this.#watcher.violation) return true;
    const { nowUs } = this.#kernel;
    if (this.#open > 0) {
      this.#lastUs = nowUs;
      return false;
    }
    const restedUs = nowUs - Math.max(healedUs, this.#lastUs);
    if (restedUs < settleUs) return false;
    return restedUs > startsWithinUs || this.#instances.every(({ life }) => life !== undefined);
  }

  // what instances do

  #boot(instance: Instance): void {
    const { owner } = instance;
    instance.isBooting = true;
    // a ledger takes the machine's clock as it is when it starts
    if (instance.isAhead && this.#plan.store === 'embedded') this.#watcher.isWeak = true;
    this.#kernel.after(
      this.#draw.int(2_000),
      () => {
        startLife(owner, {
          plan: this.#plan,
          policy: this.#policy,
          device: instance.device,
          network: this.#network,
          draw: this.#draw,
          isChainStale: () => this.#isChainStale,
        }).then(
          (life) => {
            instance.life = life;
            instance.isBooting = false;
            this.#note('up', owner.name);
          },
          (error: unknown) => {
            if (String(error) !== String(instance.bootError)) {
              this.#note('not up', `${owner.name}: ${String(error)}`);
            }
            instance.bootError = error;
            this.#kill(instance);
            this.#revive(instance, bootPauseUs);
          },
        );
      },
      owner,
    );
  }

  #kill(instance: Instance): void {
    const { owner } = instance;
    owner.isAlive = false;
    instance.life = undefined;
    instance.threads = [];
    this.#network?.cut(owner);
    for (const each of this.#underWay) {
      if (each.owner !== owner) continue;
      this.#underWay.delete(each);
      this.#doubtful.push(each.ask);
    }
    if (this.#plan.store === 'embedded') this.#watcher.epoch += 1;
  }

  /** The same machine, another process. */
  #revive(instance: Instance, delayUs: number): void {
    const { name, wallOffsetMs } = instance.owner;
    this.#kernel.after(
      delayUs,
      () => {
        if (instance.owner.isAlive) return;
        instance.owner = { name, isAlive: true, wallOffsetMs };
        this.#boot(instance);
      },
      this.#kernel.world,
    );
  }

  /** As main.ts does it: nothing is let go of before the requests under way are over. */
  #stop(instance: Instance, life: Life): void {
    const { owner } = instance;
    if ([...this.#underWay].some((each) => each.owner === owner)) {
      this.#kernel.after(10_000, () => this.#stop(instance, life), owner);
      return;
    }
    const end = (): void => {
      if (owner !== instance.owner || !owner.isAlive) return;
      this.#kill(instance);
      this.#revive(instance, 1_000);
    };
    this.#kernel.after(1, () => void life.close().then(end, end), owner);
  }

  #break(fault: Fault): void {
    const instance = this.#instances[fault.instance % this.#instances.length];
    if (!instance) return;
    const { owner } = instance;
    this.#note(fault.kind, owner.name);
    const network = this.#network;
    if (fault.kind.startsWith('redis')) this.#hasStoreTrouble = true;
    this.#doubtReleases(fault, owner);
    // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- Redis' own are below
    switch (fault.kind) {
      case 'process-dies':
      case 'power-goes': {
        if (!owner.isAlive) return;
        this.#kill(instance);
        if (fault.kind === 'power-goes') {
          this.#disk.loseUnsynced(owner.name);
          this.#databases.loseUnsynced(owner.name);
          for (const path of this.#disk.pathsBelow(folderOf(owner.name))) {
            const length = this.#disk.read(path)?.length ?? 0;
            this.#watcher.requireKept(path, length);
            this.#watcher.lost(path, length);
          }
        }
        this.#revive(instance, fault.forUs);
        return;
      }
      case 'restart': {
        const { life } = instance;
        if (!life || !owner.isAlive) return;
        instance.life = undefined;
        this.#stop(instance, life);
        return;
      }
      case 'thread-dies':
        this.#hasStoreTrouble = true;
        for (const thread of instance.threads.splice(0)) {
          this.#kernel.after(1, () => thread.end(), owner);
        }
        return;
      case 'ledger-disk-full':
        this.#databases.setFull(owner.name, true);
        this.#hasStoreTrouble = true;
        return;
      case 'disk':
        this.#disk.setTrouble(owner.name, fault.trouble);
        return;
      case 'device':
        instance.device.trouble = fault.trouble;
        return;
      case 'chain-stale':
        this.#isChainStale = true;
        return;
      case 'clock-back':
        owner.wallOffsetMs -= 90_000;
        return;
      case 'clock-forward':
        owner.wallOffsetMs += forwardMs;
        instance.isAhead = true;
        if (instance.isBooting && this.#plan.store === 'embedded') this.#watcher.isWeak = true;
        return;
      case 'redis-cut':
        network?.cut(owner);
        return;
      default:
        if (network) this.#breakRedis(fault, network);
    }
  }

  /** The end of a process, and trouble of the store, may keep what was on its way back. */
  #doubtReleases({ kind }: Fault, owner: Owner): void {
    const endsProcess = kind === 'process-dies' || kind === 'power-goes';
    const troublesStore =
      kind.startsWith('redis') || kind === 'thread-dies' || kind === 'ledger-disk-full';
    for (const each of this.#givenUp) {
      const isOn = each.untilUs > this.#kernel.nowUs;
      if (!isOn || !(troublesStore || (endsProcess && each.owner === owner))) continue;
      this.#givenUp.delete(each);
      this.#doubtful.push(each.ask);
    }
  }

  #breakRedis({ kind, forUs }: Fault, network: RedisNetwork): void {
    const { master } = network;
    // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- all others are above
    switch (kind) {
      case 'redis-frozen':
        master.frozenUntilUs = this.#kernel.nowUs + Math.min(forUs, 5_000_000);
        return;
      case 'redis-full':
        master.isFull = true;
        return;
      case 'redis-lag':
        master.replicaLagUs = 2_000_000;
        return;
      case 'redis-clock-back':
        master.clockOffsetMs -= 90_000;
        return;
      case 'redis-scripts-flushed':
        master.flushScripts();
        return;
      case 'redis-election':
      case 'redis-late-election': {
        const { server } = master.elect();
        network.master = server;
        if (this.#plan.acknowledge === 'none' || this.#plan.acknowledge === 'aof')
          this.#watcher.isWeak = true;
        if (kind === 'redis-election') {
          master.isUp = false;
          network.cut();
        }
        // whoever is still connected to the old one writes to nobody
        else this.#kernel.after(1_500_000, () => network.cut());
        return;
      }
      case 'redis-restart': {
        const { server } = master.restart();
        network.master = server;
        server.isUp = false;
        if (this.#plan.acknowledge !== 'aof') this.#watcher.isWeak = true;
        network.cut();
        this.#kernel.after(Math.min(forUs, 2_000_000), () => (server.isUp = true));
      }
    }
  }

  #heal(fault: Fault): void {
    const instance = this.#instances[fault.instance % this.#instances.length];
    if (fault.kind === 'disk' && instance) this.#disk.setTrouble(instance.owner.name, undefined);
    if (fault.kind === 'ledger-disk-full' && instance) {
      this.#databases.setFull(instance.owner.name, false);
    }
    if (fault.kind === 'device' && instance) instance.device.trouble = undefined;
    if (fault.kind === 'chain-stale') this.#isChainStale = false;
    if (!this.#network) return;
    const { master } = this.#network;
    if (fault.kind === 'redis-full') master.isFull = false;
    if (fault.kind === 'redis-lag') master.replicaLagUs = 0;
  }

  // what clients do

  #begin(operation: Operation): void {
    const client = this.#clients[operation.client];
    if (!client) return;
    const sent = this.#choose(operation, client);
    client.requests.push(sent);
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.#open -= 1;
    };
    this.#kernel.after(patienceUs, close);
    if (operation.loses === 'request') return;
    const instance = this.#instances[operation.instance % this.#instances.length];
    this.#requests += 1;
    const id = `r${this.#requests}`;
    this.#kernel.after(this.#latencyUs(), () => {
      if (!instance?.life || !instance.owner.isAlive) {
        close();
        return;
      }
      const { life, owner } = instance;
      const ask: Ask = {
        ...sent.ask,
        id,
        atUs: this.#kernel.nowUs,
        usedBefore: this.#watcher.hasAnswered(sent.ask.use),
      };
      this.#watcher.asks.set(id, ask);
      this.#kernel.after(1, () => this.#serve(life, operation, client, sent, ask, close), owner);
    });
  }

  #serve(
    { owner, pay }: Life,
    operation: Operation,
    client: Client,
    { body, key, manifestId }: Sent,
    ask: Ask,
    close: () => void,
  ): void {
    const kernel = this.#kernel;
    const abort = new AbortController();
    const leave = (reason: 'TimeoutError' | 'AbortError') => () =>
      abort.abort(new DOMException(reason, reason));
    const deadline = kernel.after(4_000_000, leave('TimeoutError'));
    if (operation.leavesAfterUs !== undefined)
      kernel.after(operation.leavesAfterUs, leave('AbortError'));
    const underWay = { ask, owner, sinceUs: kernel.nowUs };
    this.#underWay.add(underWay);
    const call: PaymentCall = {
      body: Buffer.from(body),
      caller: callerOf(client.principal),
      requestId: ask.id,
      idempotencyKey: key,
      signal: abort.signal,
    };
    this.#note('asked', ask.id);
    pay(call).then(
      ({ answer, payment }) => {
        deadline.isCancelled = true;
        this.#underWay.delete(underWay);
        this.#answers += 1;
        const parsed = JSON.parse(answer) as { readonly payment: string; readonly state: Sealed };
        const made = fromBinary(PaymentSchema, Buffer.from(parsed.payment, 'base64'));
        const randHash = `0x${Buffer.from(made.ticketParams?.recipientRandHash ?? []).toString('hex')}`;
        const tickets = made.ticketSenderParams.map(({ senderNonce, sig }) => ({
          nonce: senderNonce,
          signature: Buffer.from(sig.subarray(0, 64)).toString('hex'),
          randHash,
        }));
        const state = Buffer.from(parsed.state.State, 'base64').toString();
        this.#watcher.left(ask, { tickets, state, answer, isFork: payment?.isFork });
        this.#note(
          payment ? 'answered' : 'repeated',
          `${ask.id} ${tickets.map(({ nonce }) => nonce).join()}`,
        );
        if (operation.loses === 'answer') return;
        kernel.after(
          this.#latencyUs(),
          () => {
            const { states } = client;
            const isKnown = states.some(({ sealed }) => sealed.State === parsed.state.State);
            if (!isKnown) states.push({ sealed: parsed.state, manifestId });
            close();
          },
          kernel.world,
        );
      },
      (error: unknown) => {
        deadline.isCancelled = true;
        this.#underWay.delete(underWay);
        const code = isSignerError(error) ? error.code : String(error);
        this.#note(code, ask.id);
        if (!isSignerError(error) || code === 'INTERNAL' || code === 'GRANT_INVALID') {
          if (!abort.signal.aborted)
            this.#watcher.fail('no-unknown-failure', `request ${ask.id}: ${String(error)}`);
        }
        if (code === 'STATE_FORKED' || code === 'IDEMPOTENCY_KEY_REUSED') {
          this.#watcher.refusedAsFork(ask);
        }
        if (this.#hasStoreTrouble) this.#doubtful.push(ask);
        else if (abort.signal.aborted) {
          this.#givenUp.add({ ...underWay, untilUs: kernel.nowUs + givesBackWithinUs });
        }
        kernel.after(this.#latencyUs(), close, kernel.world);
      },
    );
  }

  #choose(operation: Operation, client: Client): Sent {
    const { kind, back, pixels, params, offer } = operation;
    const repeated =
      kind === 'repeat' ? (client.requests.at(-1 - back) ?? client.requests.at(-1)) : undefined;
    // one that nothing tells from others begins a session each time: it is the same as any first payment
    if (repeated?.ask.use !== undefined) return repeated;
    const stolen = kind === 'steal' ? this.#steal(client, back) : undefined;
    if (stolen) return stolen;
    const place = kind === 'fork' ? -2 - back : -1;
    const known = kind === 'begin' ? undefined : (client.states.at(place) ?? client.states.at(-1));
    const state = known?.sealed;
    const { tenant, principal, orchestrator } = client;
    const ticketEv = ticketEvs[orchestrator] ?? 1n;
    const isHeld = known !== undefined && offer === 'held';
    const maxPriceWei = isHeld ? ticketEv / 2n : undefined;
    const units = isHeld ? 1n : BigInt(pixels);
    // its digest tells sessions apart
    const isOther = kind === 'fork' && back > 0;
    const manifestId =
      known && !isOther ? known.manifestId : `${principal}-${client.requests.length}`;
    const body = JSON.stringify({
      ...(state && { state }),
      orchestrator: infoOf(orchestrator, params, known !== undefined && offer !== 'usual'),
      ManifestID: manifestId,
      app: 'app',
      inPixels: pixels,
      ...(isHeld && {
        type: 'fixed',
        maxPrice: { price: `${maxPriceWei}`, currency: 'wei', unit: 'fixed' },
      }),
    });
    const hasKey = !state && operation.hasIdempotencyKey;
    const key = hasKey ? `key-${client.requests.length}` : undefined;
    const use = state ? `state ${state.State}` : key && `key ${principal} ${key}`;
    return {
      body,
      key,
      manifestId,
      ask: {
        tenant,
        principal,
        ticketEv,
        fee: { numerator: units * 2n * ticketEv, denominator: 3n },
        units,
        maxPriceWei,
        orchestrator: orchestratorAddress(orchestrator),
        identity: use && `${use} ${body} ${principal}`,
        use,
        before: state && Buffer.from(state.State, 'base64').toString(),
        maxTickets: pixels + 2,
      },
    };
  }

  /** Another's payment that goes on from a state: a first one would begin a session of the thief's. */
  #steal({ tenant, principal }: Client, back: number): Sent | undefined {
    const [victim] = this.#clients.filter((client) => client.principal !== principal);
    const sent = victim?.requests.filter(({ ask }) => ask.before !== undefined).at(-1 - back);
    if (!sent) return undefined;
    const identity = `${sent.ask.use} ${sent.body} ${principal}`;
    return { ...sent, ask: { ...sent.ask, tenant, principal, identity } };
  }

  #latencyUs(): number {
    return 100 + this.#draw.int(this.#draw.chance(0.1) ? 30_000 : 1_000);
  }

  // what must hold at the end

  #requireRest(): void {
    for (const { ask, owner } of this.#underWay) {
      if (owner.isAlive)
        this.#watcher.fail(
          'every-request-ends',
          `request ${ask.id} is still under way at ${owner.name}`,
        );
    }
    for (const { life, owner, bootError } of this.#instances) {
      if (!life)
        this.#watcher.fail('starts-again', `${owner.name} does not start: ${String(bootError)}`);
      const folder = `${folderOf(owner.name)}/audit/server-0/`;
      const files = this.#disk.pathsBelow(folder).filter((path) => path.endsWith('.jsonl'));
      this.#watcher.requireWholeChain(
        owner.name,
        files.map((path) => this.#disk.read(path) ?? Buffer.alloc(0)),
      );
    }
    if (!this.#watcher.isWeak) this.#requireReservations();
  }

  /** What the store has counted is what the key was asked for, and no more but for requests that nobody knows the end of. */
  #requireReservations(): void {
    const scopes = new Map<string, Pick<Ask, 'tenant' | 'principal'>>();
    for (const client of this.#clients) scopes.set(client.principal, client);
    for (const rule of this.#policy.windows) {
      if (rule.windowMs < 3_600_000) continue;
      const seen = new Set<string>();
      for (const who of scopes.values()) {
        const scope = scopeOf(rule, who);
        if (seen.has(scope)) continue;
        seen.add(scope);
        const counted = this.#countedIn(rule.ruleId, scope, rule.windowMs);
        const asked = this.#watcher.asked.get(`${rule.ruleId} ${scope}`) ?? nothing;
        const doubtful = this.#doubtful.filter((ask) => scopeOf(rule, ask) === scope);
        const extra = doubtful.reduce((sum, ask) => {
          const tickets = BigInt(this.#watcher.mostTickets(ask));
          return {
            ev: sum.ev + tickets * ask.ticketEv,
            tickets: sum.tickets + tickets,
            sessions: sum.sessions + 1n,
          };
        }, nothing);
        for (const kind of ['ev', 'tickets', 'sessions'] as const) {
          const [least, most] = [asked[kind], asked[kind] + extra[kind]];
          if (counted[kind] >= least && counted[kind] <= most) continue;
          this.#watcher.fail(
            'reservations',
            `${rule.ruleId} ${scope}: ${counted[kind]} ${kind} are counted, and the key was asked for ${least}` +
              (most > least ? ` to ${most}` : ''),
          );
        }
      }
    }
  }

  #countedIn(ruleId: string, scope: string, windowMs: number): typeof nothing {
    if (this.#network) {
      const key = `${keyPrefix}spend:${JSON.stringify([ruleId, scope, windowMs])}`;
      const total = this.#network.master.keyspace.hash(key)?.get('total');
      const numbers = (total ?? '0 0 0 0 0 0').split(' ').map(BigInt);
      const at = (place: number): bigint =>
        (numbers[place] ?? 0n) * 10n ** 15n + (numbers[place + 1] ?? 0n);
      return { ev: at(0), tickets: at(2), sessions: at(4) };
    }
    const database = this.#databases.find(this.#instances[0]?.owner.name ?? '');
    const row = database
      ?.prepare(
        'SELECT ev, tickets, sessions FROM counters WHERE rule = ? AND scope = ? AND window_ms = ?',
      )
      .get(ruleId, scope, windowMs) as Record<keyof typeof nothing, string> | undefined;
    if (!row) return nothing;
    return { ev: BigInt(row.ev), tickets: BigInt(row.tickets), sessions: BigInt(row.sessions) };
  }

  #note(what: string, about: string): void {
    const { nowMs } = this.#kernel;
    this.#trace.push(`${nowMs.toFixed(3).padStart(12)} ms  ${what} ${about}`);
    if (!this.#states) return;
    const { store, forks, policy } = this.#plan;
    const alive = this.#instances.map(({ life }) => (life ? 1 : 0)).join('');
    const clients = this.#clients
      .map(({ states, requests }) => `${states.length}.${requests.length}`)
      .join();
    const under = [...this.#underWay].map(({ ask }) => ask.id).join();
    const asked = [...this.#watcher.asked.values()]
      .map(({ ev, tickets }) => `${ev}.${tickets}`)
      .join();
    this.#states.visit(
      `${store} ${forks} ${policy} ${alive} ${clients} ${under} ${asked} ${what} ${this.#watcher.counted} ${this.#network?.master.writes ?? ''}`,
    );
  }
}

const nothing = { ev: 0n, tickets: 0n, sessions: 0n };

const callers = new Map<string, Caller>();
function callerOf(principal: string): Caller {
  const known = callers.get(principal);
  if (known) return known;
  const caller = {
    headers: new Map(),
    authId: principal,
    credentialHash: '',
    principal: anonymous,
  };
  callers.set(principal, caller);
  return caller;
}

/** What tells one run of a plan from another. */
export function fingerprint({ trace, events, answers }: Outcome): string {
  return hash('sha256', JSON.stringify([trace, events, answers])).slice(0, 16);
}
