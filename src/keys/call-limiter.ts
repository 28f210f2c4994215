import { ProviderError } from './provider.ts';

type CallLimits = {
  /** Calls that may start in any one second; a whole number, at least 1. */
  readonly requestsPerSecond: number;
  /** Calls under way at once. */
  readonly concurrency: number;
  /** Calls that may wait for their turn; one more is refused. */
  readonly maxQueued: number;
};

/**
 * Holds calls back so that a remote service's quota is kept: a token bucket for the rate, a bound on the calls under way, and
 * one bounded queue, first in first out, for both. The bucket holds a tenth of a second's calls and is refilled at the rest of
 * the rate, so that burst and refill together never start more than `requestsPerSecond` calls in any one second.
 *
 * Each call of {@link CallLimiter.run} is one request to the service: a retry has to wait for its turn again.
 */
export class CallLimiter {
  readonly #limits: CallLimits;
  readonly #capacity: number;
  readonly #tokensPerMs: number;
  readonly #waiting = new Set<() => void>();
  #tokens: number;
  #filledAtMs = performance.now();
  #underWay = 0;
  #wakeUp: NodeJS.Timeout | undefined;

  constructor(limits: CallLimits) {
    const { requestsPerSecond } = limits;
    this.#limits = limits;
    this.#capacity = Math.max(1, Math.floor(requestsPerSecond / 10));
    this.#tokensPerMs = Math.max(requestsPerSecond - this.#capacity, requestsPerSecond / 2) / 1000;
    this.#tokens = this.#capacity;
  }

  /**
   * Calls `work` when its turn has come, and gives its result.
   *
   * @throws ProviderError `PROVIDER_THROTTLED` (retryable) at once when `maxQueued` calls wait already; the signal's reason
   * when it is aborted before the turn has come (`work` is not called then); whatever `work` throws.
   */
  async run<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    signal.throwIfAborted();
    if (this.#waiting.size > 0 || !this.#tryStart()) await this.#queue(signal);
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
      this.#startWaiting();
    }
  }

  #queue(signal: AbortSignal): Promise<void> {
    const { maxQueued } = this.#limits;
    if (this.#waiting.size >= maxQueued) {
      throw new ProviderError(
        'PROVIDER_THROTTLED',
        `${maxQueued} calls wait for the key service already; try again later`,
        { retryable: true },
      );
    }
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(start);
        if (this.#waiting.size === 0) this.#cancelWakeUp();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is the caller's own
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.add(start);
      this.#startWaiting();
    });
  }

  #startWaiting(): void {
    for (const start of this.#waiting) {
      if (!this.#tryStart()) break;
      this.#waiting.delete(start);
      start();
    }
    if (this.#waiting.size === 0) this.#cancelWakeUp();
    else if (this.#underWay < this.#limits.concurrency) this.#wakeUpWithNextToken();
  }

  #tryStart(): boolean {
    const nowMs = performance.now();
    const gained = (nowMs - this.#filledAtMs) * this.#tokensPerMs;
    this.#tokens = Math.min(this.#capacity, this.#tokens + gained);
    this.#filledAtMs = nowMs;
    if (this.#underWay >= this.#limits.concurrency || this.#tokens < 1) return false;
    this.#tokens -= 1;
    this.#underWay += 1;
    return true;
  }

  #wakeUpWithNextToken(): void {
    this.#wakeUp ??= setTimeout(
      () => {
        this.#wakeUp = undefined;
        this.#startWaiting();
      },
      Math.ceil((1 - this.#tokens) / this.#tokensPerMs),
    );
  }

  #cancelWakeUp(): void {
    clearTimeout(this.#wakeUp);
    this.#wakeUp = undefined;
  }
}
