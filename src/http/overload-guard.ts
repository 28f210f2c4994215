import type { RequestHandler } from 'express';
import { ServerError } from '../errors.ts';
import { eventLoopTurns } from '../event-loop-turns.ts';

const tickMs = 50;

/**
 * Measures how late this process gets to its work, by a timer: nothing else shows requests that have not been read yet. Times are
 * milliseconds of a monotonic clock.
 */
export class Lateness {
  #dueAtMs: number;
  #lastMs = 0;
  #sustainedMs = 0;

  constructor(nowMs: number) {
    this.#dueAtMs = nowMs + tickMs;
  }

  /** To be called when the timer has fired. */
  tick(nowMs: number): void {
    const lateMs = Math.max(0, nowMs - this.#dueAtMs);
    this.#sustainedMs = Math.min(lateMs, this.#lastMs);
    this.#lastMs = lateMs;
    this.#dueAtMs = nowMs + tickMs;
  }

  /**
   * The shortest time that a request read now will have taken when it is answered: what it may have waited already, and two more
   * turns of the event loop, one for the body and one for the key, if they take as long as the last two did. One stall alone says
   * nothing about the next turn.
   */
  expectedMs(nowMs: number): number {
    const currentMs = Math.max(0, nowMs - this.#dueAtMs);
    const sustainedMs = Math.max(this.#sustainedMs, Math.min(currentMs, this.#lastMs));
    return Math.max(currentMs, this.#lastMs) + 2 * sustainedMs;
  }
}

export type OverloadGuardOptions = {
  /** The time of a request; one that can't be answered within it is refused. */
  readonly requestDeadlineMs: number;
  /** How many requests may be worked on at once. */
  readonly maxRequestsInWork: number;
  /** gets a function that counts the requests under way */
  readonly watchInWork?: (count: () => number) => void;
};

/**
 * Refuses requests with `SERVER_OVERLOADED`, before anything is done for them: when too many are in work, or when the answer
 * would come after the deadline because the process gets to its work too late or earlier requests wait too long for their turn.
 */
export function refuseOverload(options: OverloadGuardOptions): RequestHandler {
  const { requestDeadlineMs, maxRequestsInWork } = options;
  let inWork = 0;
  options.watchInWork?.(() => inWork);
  let watch: { readonly lateness: Lateness; readonly timer: NodeJS.Timeout } | undefined;

  const startWatch = () => {
    const lateness = new Lateness(performance.now());
    return { lateness, timer: setInterval(() => endWatchIfIdle(lateness), tickMs).unref() };
  };
  const endWatchIfIdle = (lateness: Lateness): void => {
    const nowMs = performance.now();
    lateness.tick(nowMs);
    if (inWork > 0 || lateness.expectedMs(nowMs) > tickMs) return;
    clearInterval(watch?.timer);
    watch = undefined;
  };

  return (_request, response, next) => {
    watch ??= startWatch();
    const expectedMs =
      watch.lateness.expectedMs(performance.now()) + eventLoopTurns.expectedWaitMs();
    if (inWork >= maxRequestsInWork) {
      const data = { field: 'server.maxRequestsInWork', maximum: `${maxRequestsInWork}` };
      throw new ServerError('SERVER_OVERLOADED', 'too many requests are in work', { data });
    }
    if (expectedMs > requestDeadlineMs) {
      const data = {
        field: 'server.requestDeadlineMs',
        maximum: `${requestDeadlineMs}`,
        actual: expectedMs.toFixed(0),
      };
      const text = 'the process gets to its work too late to answer within the deadline';
      throw new ServerError('SERVER_OVERLOADED', text, { data });
    }
    inWork += 1;
    response.once('close', () => (inWork -= 1));
    next();
  };
}
