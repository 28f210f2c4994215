import type { DeviceTrouble } from './device.ts';
import type { DiskTrouble } from './disk.ts';
import { Draw } from './draw.ts';
import type { Acknowledge } from '../../../src/store/acknowledged-writes.ts';

/** What a client does. */
export type Operation = {
  readonly atUs: number;
  readonly client: number;
  /**
   * `pay`: from the newest state; `fork`: from an older one, mostly for another manifest; `repeat`: an earlier request again;
   * `steal`: the other client's, in its own name; `begin`: a new session
   */
  readonly kind: 'pay' | 'fork' | 'repeat' | 'steal' | 'begin';
  /** how many states, or requests, it goes back */
  readonly back: number;
  readonly instance: number;
  /** which of the orchestrator's ticket parameters */
  readonly params: number;
  readonly pixels: number;
  /**
   * At what price the orchestrator goes on with a session: the one that it began with, which it is billed at, or half of that.
   * `held`: half, for one request, and the client will pay no more than three quarters
   */
  readonly offer: 'usual' | 'cheaper' | 'held';
  readonly hasIdempotencyKey: boolean;
  /** when the client hangs up; undefined: it does not */
  readonly leavesAfterUs: number | undefined;
  /** the answer, or the request, gets lost on the way */
  readonly loses: 'request' | 'answer' | undefined;
};

/** What goes wrong, from `atUs` on, for `forUs`. */
export type Fault = { readonly atUs: number; readonly forUs: number; readonly instance: number } & (
  | {
      readonly kind: 'process-dies' | 'power-goes' | 'restart' | 'thread-dies' | 'ledger-disk-full';
    }
  | { readonly kind: 'disk'; readonly trouble: DiskTrouble }
  | { readonly kind: 'device'; readonly trouble: DeviceTrouble }
  | { readonly kind: 'chain-stale' | 'clock-back' | 'clock-forward' }
  | {
      readonly kind:
        | 'redis-cut'
        | 'redis-frozen'
        | 'redis-election'
        | 'redis-late-election'
        | 'redis-restart'
        | 'redis-full'
        | 'redis-lag'
        | 'redis-clock-back'
        | 'redis-scripts-flushed';
    }
);

/** All that a schedule is made of but its delays, which the seed draws too. */
export type Plan = {
  readonly seed: number;
  readonly store: 'embedded' | 'redis';
  readonly acknowledge: Acknowledge;
  readonly instances: number;
  readonly answersMaxBytes: number;
  readonly forks: 'count' | 'deny';
  /** index of {@link policies} */
  readonly policy: number;
  readonly takesBatches: boolean;
  readonly sealsByKey: boolean;
  readonly maxFileBytes: number;
  readonly operations: readonly Operation[];
  readonly faults: readonly Fault[];
};

export const policyCount = 5;
/** The one with a window that long schedules see run out. */
const minutePolicy = 3;
const usualFaults = [
  'process-dies',
  'power-goes',
  'restart',
  'disk',
  'device',
  'chain-stale',
  'clock-back',
  'clock-forward',
] as const;
const redisFaults = [
  'redis-cut',
  'redis-frozen',
  'redis-full',
  'redis-lag',
  'redis-clock-back',
  'redis-scripts-flushed',
] as const;
const embeddedFaults = ['thread-dies', 'ledger-disk-full'] as const;

/** Time between the first and the last operation of most schedules. */
const spanUs = 400_000;

/** The same seed gives the same plan. */
export function drawPlan(seed: number): Plan {
  const draw = new Draw(seed);
  const store = draw.chance(0.45) ? 'embedded' : 'redis';
  const acknowledge =
    store === 'embedded' ? 'none' : draw.pick<Acknowledge>(['none', 'aof', { replicas: 1 }]);
  const instances = store === 'embedded' ? 1 : 1 + draw.int(3);
  const isLong = draw.chance(0.15);
  const span = isLong ? 200_000_000 : draw.chance(0.5) ? spanUs : spanUs / 10;
  const drawn = Array.from({ length: 3 + draw.int(6) }, () => drawOperation(draw, span, instances));
  const isRush = !isLong && draw.chance(0.1);
  const operations = drawn.map((operation, place) =>
    isRush ? drawRush(draw, operation) : drawClose(draw, operation, drawn[place - 1]),
  );
  if (isLong && draw.chance(0.7)) operations.push(...drawWindowApart(draw, span, instances));
  operations.sort((a, b) => a.atUs - b.atUs);
  const faults = Array.from({ length: draw.pick([0, 0, 1, 1, 2, 3]) }, () =>
    drawFault(draw, span, { store, acknowledge, instances }),
  );
  faults.sort((a, b) => a.atUs - b.atUs);
  return {
    seed,
    store,
    acknowledge,
    instances,
    answersMaxBytes: draw.chance(0.75) ? 8_388_608 : 9_000,
    forks: draw.chance(0.4) ? 'deny' : 'count',
    policy: isLong && draw.chance(0.5) ? minutePolicy : draw.int(policyCount),
    takesBatches: draw.chance(0.4),
    sealsByKey: draw.chance(0.15),
    maxFileBytes: draw.chance(0.3) ? 3_000 : 1e9,
    operations,
    faults,
  };
}

function drawOperation(draw: Draw, span: number, instances: number): Operation {
  return {
    atUs: draw.int(span),
    client: draw.int(2),
    kind: draw.pick(['pay', 'pay', 'pay', 'pay', 'fork', 'repeat', 'repeat', 'steal', 'begin']),
    back: draw.int(3),
    instance: draw.int(instances),
    params: draw.chance(0.7) ? 0 : 1,
    // much is mostly more than policy allows, and is refused while others are under way
    pixels: draw.chance(0.1) ? 20 + draw.int(20) : 1 + draw.int(4),
    offer: draw.chance(0.1) ? draw.pick(['cheaper', 'held']) : 'usual',
    hasIdempotencyKey: draw.chance(0.5),
    // some before the key is asked
    leavesAfterUs: draw.chance(0.1) ? draw.int(draw.chance(0.5) ? 4_000 : 60_000) : undefined,
    loses: draw.chance(0.15) ? draw.pick(['request', 'answer', 'answer']) : undefined,
  };
}

/** Some come while another one of the same client is under way. */
function drawClose(draw: Draw, operation: Operation, other: Operation | undefined): Operation {
  if (!other || operation.kind === 'begin' || !draw.chance(0.35)) return operation;
  const client = operation.kind === 'steal' ? 1 - other.client : other.client;
  const delayUs = draw.int(draw.chance(0.5) ? 3_000 : 40_000);
  return { ...operation, client, back: 0, atUs: other.atUs + delayUs };
}

/** Sessions that begin at once with the same parameters, whose clients partly leave before the key is asked. */
function drawRush(draw: Draw, operation: Operation): Operation {
  return {
    ...operation,
    kind: 'begin',
    params: 0,
    pixels: 1 + draw.int(4),
    atUs: draw.int(draw.chance(0.5) ? 8_000 : 30_000),
    leavesAfterUs: draw.chance(0.3) ? draw.int(4_000) : undefined,
  };
}

/** Two payments, the second just before what the first one has spent stops counting in a window of a minute. */
function drawWindowApart(draw: Draw, span: number, instances: number): Operation[] {
  const drawn = drawOperation(draw, span, instances);
  // one of the dearest tickets, or four of the usual ones: two such payments are too much
  const first: Operation = { ...drawn, kind: 'pay', offer: 'usual', pixels: draw.pick([1, 6]) };
  return [first, { ...first, atUs: first.atUs + 59_000_000 + draw.int(1_000_000) }];
}

function drawFault(
  draw: Draw,
  span: number,
  { store, acknowledge, instances }: Pick<Plan, 'store' | 'acknowledge' | 'instances'>,
): Fault {
  const common = {
    atUs: draw.int(span),
    forUs: 1_000 + draw.int(draw.chance(0.3) ? 6_000_000 : 300_000),
    instance: draw.int(instances),
  };
  if (draw.chance(0.4)) {
    if (store === 'embedded') return { ...common, kind: draw.pick(embeddedFaults) };
    if (draw.chance(0.5)) return { ...common, kind: draw.pick(redisFaults) };
    if (acknowledge === 'aof') return { ...common, kind: 'redis-restart' };
    const election = draw.pick(['redis-election', 'redis-late-election'] as const);
    return {
      ...common,
      kind: acknowledge === 'none' ? draw.pick(['redis-restart', election]) : election,
    };
  }
  const kind = draw.pick(usualFaults);
  if (kind === 'disk') {
    const trouble = draw.pick<DiskTrouble>(['full', 'torn-writes', 'sync-fails', 'stalls']);
    return { ...common, kind, trouble };
  }
  if (kind === 'device') {
    const trouble = draw.pick<DeviceTrouble>(['throttles', 'loses-replies', 'hangs', 'slow']);
    return { ...common, kind, trouble };
  }
  return { ...common, kind };
}

/** The plan with only these of its operations and faults. */
export function keepOf(plan: Plan, operations: readonly number[], faults: readonly number[]): Plan {
  return {
    ...plan,
    operations: plan.operations.filter((_, place) => operations.includes(place)),
    faults: plan.faults.filter((_, place) => faults.includes(place)),
  };
}
