/** Whose work an event is: a process that can die, or the world around it. */
export type Owner = {
  readonly name: string;
  isAlive: boolean;
  /** what its wall clock is ahead of the world's, in ms */
  wallOffsetMs: number;
};

export type SimulatedEvent = {
  /** microseconds since the start of the schedule */
  readonly at: number;
  readonly order: number;
  readonly owner: Owner;
  readonly run: () => void;
  isCancelled: boolean;
  /** it happens though its owner is dead by then */
  outlives: boolean;
};

/** A schedule comes to no end. */
export class StuckError extends Error {}

const realSetImmediate = setImmediate;
const nextTick = process.nextTick.bind(process);

/** Unix ms at the start of every schedule. */
export const startedAtMs = 1_775_592_000_000;

/**
 * The one clock and the one queue of a schedule: everything that a process waits for is an event here, and the next one in time
 * runs after all that the last one has set off. How long each takes is drawn by whoever adds it, so a seed decides every order.
 */
export class Kernel {
  readonly world: Owner = { name: 'world', isAlive: true, wallOffsetMs: 0 };
  owner: Owner = this.world;
  nowUs = 0;
  steps = 0;
  readonly #heap: SimulatedEvent[] = [];
  #order = 0;

  get nowMs(): number {
    return this.nowUs / 1000;
  }

  /** As the owner's wall clock has it, Unix ms. */
  get wallMs(): number {
    return startedAtMs + this.nowMs + this.owner.wallOffsetMs;
  }

  after(delayUs: number, run: () => void, owner: Owner = this.owner): SimulatedEvent {
    const at = this.nowUs + Math.max(0, delayUs);
    const event = { at, order: this.#order++, owner, run, isCancelled: false, outlives: false };
    this.#push(event);
    return event;
  }

  /** Resolves when `isOver`, or nothing happens any more. Rejects with what an event throws, and with `StuckError`. */
  run(isOver: () => boolean, maxSteps: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let idleTurns = 0;
      const step = (): void => {
        try {
          this.owner = this.world;
          if (isOver()) {
            resolve();
            return;
          }
          const event = this.#next();
          if (!event) {
            if (idleTurns++ > 3) resolve();
            else realSetImmediate(step);
            return;
          }
          idleTurns = 0;
          this.steps += 1;
          if (this.steps > maxSteps) throw new StuckError(`no end after ${maxSteps} events`);
          this.nowUs = event.at;
          this.owner = event.owner;
          event.run();
        } catch (error) {
          this.owner = this.world;
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what an event threw
          reject(error);
          return;
        }
        // a tick comes after all microtasks that the event has set off
        queueMicrotask(() => nextTick(step));
      };
      step();
    });
  }

  #next(): SimulatedEvent | undefined {
    for (;;) {
      const event = this.#pop();
      if (!event) return undefined;
      if (!event.isCancelled && (event.owner.isAlive || event.outlives)) return event;
    }
  }

  #push(event: SimulatedEvent): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent];
      if (!above || isBefore(above, event)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): SimulatedEvent | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (!first || !last || first === last) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (!left) break;
      if (right && isBefore(right, left)) child += 1;
      const smaller = heap[child];
      if (!smaller || isBefore(last, smaller)) break;
      heap[place] = smaller;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(a: SimulatedEvent, b: SimulatedEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
