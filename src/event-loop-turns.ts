import { AsyncLocalStorage } from 'node:async_hooks';

/** How long one turn of the event loop goes on with such work before connections, answers and timers have theirs. */
const turnMs = 5;

/** Work that others have begun already goes before work that begins. */
export type TurnLane = 'begun' | 'new';

type Waiting = { readonly sinceMs: number; readonly start: () => void };

/**
 * Shares the event loop between work that takes milliseconds and all the rest, which is quick: such work is begun for at most
 * 5 ms a turn, and what is over waits for the next turns, first in, first out, begun work first. A turn lasts longer than that
 * only by the last piece of work in it.
 */
export class EventLoopTurns {
  readonly #waiting: Readonly<Record<TurnLane, Waiting[]>> = { begun: [], new: [] };
  readonly #lastWaitedMs: Record<TurnLane, number> = { begun: 0, new: 0 };
  /** until when this turn begins work; undefined where it has begun none yet */
  #endsAtMs: number | undefined;

  /** Runs `work` now, or in one of the next turns, and gives its result. Rejects with what it throws. */
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

  /** How long work that comes now will wait at least, in both lanes together, as far as those before it tell; in milliseconds. */
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

/** This process has one event loop, and so one of these. */
export const eventLoopTurns = new EventLoopTurns();
