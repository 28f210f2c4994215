import { AsyncLocalStorage } from 'node:async_hooks';

/** For how much of one turn of the event loop such work may be begun, before connections, answers and timers are served. */
const turnMs = 5;

/** Work that continues something already begun goes before work that begins something new. */
export type TurnLane = 'begun' | 'new';

type Waiting = { readonly sinceMs: number; readonly start: () => void };

/**
 * Shares the event loop between work that takes milliseconds and everything else, which is quick. Such work is begun for at most
 * 5 ms of each turn; the rest waits for the next turns, begun work before new, and otherwise first in, first out. Only the last
 * piece of work can make a turn longer than that.
 */
export class EventLoopTurns {
  readonly #waiting: Readonly<Record<TurnLane, Waiting[]>> = { begun: [], new: [] };
  readonly #lastWaitedMs: Record<TurnLane, number> = { begun: 0, new: 0 };
  /** until when this turn may begin work; undefined where it has begun none yet */
  #endsAtMs: number | undefined;

  /** Runs `work` now, or in one of the next turns, and gives its result. Rejects with whatever `work` throws. */
  run<Result>(lane: TurnLane, work: () => Result | Promise<Result>): Promise<Result> {
    const isFree = this.#waiting.begun.length === 0 && this.#waiting.new.length === 0;
    if (isFree && this.#hasTime()) return new Promise((resolve) => resolve(work()));
    return new Promise((resolve, reject) => {
      const start = (): void => {
        try {
          resolve(work());
        } catch (error) {
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the work itself threw
          reject(error);
        }
      };
      this.#waiting[lane].push({
        sinceMs: performance.now(),
        start: AsyncLocalStorage.bind(start),
      });
    });
  }

  /**
   * The shortest time, in milliseconds, that work which comes now has to wait, estimated from the work that waits in both lanes.
   */
  expectedWaitMs(): number {
    return this.#expectedIn('begun') + this.#expectedIn('new');
  }

  #expectedIn(lane: TurnLane): number {
    const [oldest] = this.#waiting[lane];
    if (!oldest) return 0;
    return Math.max(this.#lastWaitedMs[lane], performance.now() - oldest.sinceMs);
  }

  #hasTime(): boolean {
    const nowMs = performance.now();
    if (this.#endsAtMs === undefined) {
      this.#endsAtMs = nowMs + turnMs;
      setImmediate(() => this.#beginTurn());
    }
    return nowMs < this.#endsAtMs;
  }

  #beginTurn(): void {
    this.#endsAtMs = undefined;
    for (const lane of ['begun', 'new'] as const) {
      const waiting = this.#waiting[lane];
      while (waiting.length > 0 && this.#hasTime()) {
        const next = waiting.shift();
        if (!next) break;
        this.#lastWaitedMs[lane] = performance.now() - next.sinceMs;
        next.start();
      }
    }
  }
}

/** The queue of this process, which has one event loop. */
export const eventLoopTurns = new EventLoopTurns();
