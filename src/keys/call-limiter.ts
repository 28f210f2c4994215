import { type CallTurn, ProviderError } from './provider.ts';

type CallLimits = {
  /** How many calls may reach the service in any one second; a whole number, at least 1. Without it the rate is not limited. */
  readonly requestsPerSecond?: number;
  /** How many calls may be under way at once. */
  readonly concurrency: number;
  /** How many calls may wait for their turn; one more is refused. */
  readonly maxQueued: number;
};

/**
 * Holds calls back so that a remote service's quota is kept: a token bucket for the rate, a bound on the calls under way, and one
 * bounded queue for both.
 *
 * The bucket holds a tenth of a second's calls and is refilled at the rest of the rate, so that burst and refill together never
 * start more than `requestsPerSecond` calls in any one second. Calls that start evenly may still arrive all at once, for instance
 * when the first ones wait for connections. A call reaches the service at some time between its start and its end, so it counts
 * from its start until a second after its end: however long the way takes, the service never gets more than `requestsPerSecond`
 * calls in any one second.
 *
 * The queue is fair: tenants take turns, and within a tenant its lanes do; within a lane it is first in, first out. A lane with a
 * hundred calls does not delay one that has a single call, nor does a tenant with a thousand lanes delay another tenant. A tenant
 * may have no more calls waiting than it leaves places free for the others.
 *
 * Each call of {@link CallLimiter.run} is one request to the service: a retry has to wait for its turn again.
 */
export class CallLimiter {
  readonly #limits: CallLimits;
  readonly #capacity: number;
  readonly #tokensPerMs: number;
  /** Tenants in the order of their turns; none is empty. */
  readonly #tenants = new Map<string, Backlog>();
  readonly #commonLane = {};
  #waitingCount = 0;
  /** When the calls of the last second ended, the oldest first. */
  readonly #endedAtMs: number[] = [];
  #tokens: number;
  #filledAtMs = performance.now();
  #underWay = 0;
  #wakeUp: NodeJS.Timeout | undefined;

  constructor(limits: CallLimits) {
    const { requestsPerSecond = Number.MAX_SAFE_INTEGER } = limits;
    this.#limits = limits;
    this.#capacity = Math.max(1, Math.floor(requestsPerSecond / 10));
    this.#tokensPerMs = Math.max(requestsPerSecond - this.#capacity, requestsPerSecond / 2) / 1000;
    this.#tokens = this.#capacity;
  }

  /** Calls that wait for their turn. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /**
   * Calls `work` when its turn has come, and gives its result. Calls of one tenant that name the
   * same lane share its turns, as do all that name none.
   *
   * @throws ProviderError `PROVIDER_THROTTLED` (retryable) at once when `maxQueued` calls wait already, or as many of a tenant's as
   * it leaves places free; the signal's reason when it is aborted before the turn has come (`work` is not called then); whatever `work` throws.
   */
  async run<Result>(
    work: () => Promise<Result>,
    signal: AbortSignal,
    { lane = this.#commonLane, tenant = '' }: Partial<CallTurn> = {},
  ): Promise<Result> {
    signal.throwIfAborted();
    if (this.#waitingCount > 0 || !this.#tryStart()) await this.#queue(signal, lane, tenant);
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
      if (this.#limits.requestsPerSecond !== undefined) this.#endedAtMs.push(performance.now());
      this.#startWaiting();
    }
  }

  #queue(signal: AbortSignal, lane: object, tenant: string): Promise<void> {
    const free = this.#limits.maxQueued - this.#waitingCount;
    const own = this.#tenants.get(tenant)?.size ?? 0;
    if (free <= 0 || (tenant !== '' && own >= free)) {
      throw new ProviderError(
        'PROVIDER_THROTTLED',
        free <= 0
          ? `${this.#waitingCount} calls wait for the key service already; try again later`
          : `${own} calls of this tenant wait for the key service already; try again later`,
        { retryable: true },
      );
    }
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#leave(tenant, lane, start);
        if (this.#waitingCount === 0) this.#cancelWakeUp();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is the caller's own
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#enter(tenant, lane, start);
      this.#startWaiting();
    });
  }

  #enter(tenant: string, lane: object, start: () => void): void {
    const backlog = this.#tenants.get(tenant) ?? new Backlog();
    this.#tenants.set(tenant, backlog);
    backlog.add(lane, start);
    this.#waitingCount += 1;
  }

  #leave(tenant: string, lane: object, start: () => void): void {
    const backlog = this.#tenants.get(tenant);
    backlog?.delete(lane, start);
    if (backlog?.size === 0) this.#tenants.delete(tenant);
    this.#waitingCount -= 1;
  }

  /** Takes the next call of the tenant whose turn it is, and moves that tenant behind the others. */
  #takeNext(): (() => void) | undefined {
    for (const [tenant, backlog] of this.#tenants) {
      const start = backlog.takeNext();
      this.#waitingCount -= 1;
      this.#tenants.delete(tenant);
      if (backlog.size > 0) this.#tenants.set(tenant, backlog);
      return start;
    }
    return undefined;
  }

  #startWaiting(): void {
    while (this.#waitingCount > 0 && this.#tryStart()) this.#takeNext()?.();
    if (this.#waitingCount === 0) this.#cancelWakeUp();
    else if (this.#underWay < this.#limits.concurrency) this.#wakeUpWithNextPlace();
  }

  #tryStart(): boolean {
    const nowMs = performance.now();
    const gained = (nowMs - this.#filledAtMs) * this.#tokensPerMs;
    this.#tokens = Math.min(this.#capacity, this.#tokens + gained);
    this.#filledAtMs = nowMs;
    while (this.#endedAtMs[0] !== undefined && this.#endedAtMs[0] <= nowMs - 1000) {
      this.#endedAtMs.shift();
    }
    if (this.#underWay >= this.#limits.concurrency || this.#tokens < 1 || !this.#hasRoom()) {
      return false;
    }
    this.#tokens -= 1;
    this.#underWay += 1;
    return true;
  }

  /** Whether one more call is within the rate in any second, wherever the counted calls are on their way. */
  #hasRoom(): boolean {
    const { requestsPerSecond = Infinity } = this.#limits;
    return this.#underWay + this.#endedAtMs.length < requestsPerSecond;
  }

  #wakeUpWithNextPlace(): void {
    const [oldestMs] = this.#endedAtMs;
    const isFull = !this.#hasRoom();
    // while every counted call is under way, one of them has to end before there is room
    if (isFull && oldestMs === undefined) return;
    const untilTokenMs = (1 - this.#tokens) / this.#tokensPerMs;
    const untilRoomMs = isFull && oldestMs !== undefined ? oldestMs + 1000 - this.#filledAtMs : 0;
    this.#wakeUp ??= setTimeout(
      () => {
        this.#wakeUp = undefined;
        this.#startWaiting();
      },
      Math.ceil(Math.max(untilTokenMs, untilRoomMs)),
    );
  }

  #cancelWakeUp(): void {
    clearTimeout(this.#wakeUp);
    this.#wakeUp = undefined;
  }
}

/** What a tenant has waiting: lanes in the order of their turns, none of them empty. */
class Backlog {
  readonly #lanes = new Map<object, Set<() => void>>();
  size = 0;

  add(lane: object, start: () => void): void {
    const waiting = this.#lanes.get(lane);
    if (waiting) waiting.add(start);
    else this.#lanes.set(lane, new Set([start]));
    this.size += 1;
  }

  delete(lane: object, start: () => void): void {
    const waiting = this.#lanes.get(lane);
    if (waiting?.delete(start)) this.size -= 1;
    if (waiting?.size === 0) this.#lanes.delete(lane);
  }

  /** Takes the next call of the lane whose turn it is, and moves that lane behind the others. */
  takeNext(): (() => void) | undefined {
    for (const [lane, waiting] of this.#lanes) {
      for (const start of waiting) {
        this.delete(lane, start);
        if (this.#lanes.delete(lane)) this.#lanes.set(lane, waiting);
        return start;
      }
    }
    return undefined;
  }
}
