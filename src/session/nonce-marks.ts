import type { NonceDemand, NonceOutcome } from './nonce-demand.ts';

export type NonceMarksOptions = {
  /** a monotonic clock in milliseconds */
  readonly nowMs: () => number;
  /** how many ticket sessions are remembered; by default 500,000, which take about 60 MB */
  readonly maxMarks?: number;
};

type Mark = {
  /** the highest nonce handed out */
  last: number;
  /** in whole seconds, which V8 stores without a further object */
  expiresSeconds: number;
  readonly holder: string;
};

/** One holder may have this many marks for each place that is left free. */
const greed = 4;
/** How many marks are checked for expiry with each new one: more than are added, so all are checked in time. */
const lookedAt = 4;

/**
 * Remembers the highest nonce that was handed out for each ticket session, in this process. A mark is kept for its whole
 * lifetime: a holder that has used up its share of the room gets no new ones. Its share is four times what is left free, so a
 * single holder can have four fifths of the room, and several holders always leave some for the next one.
 */
export class NonceMarks {
  readonly #maxMarks: number;
  readonly #nowMs: () => number;
  /** by the 16 bytes of the ticket session, as text of one byte a character, which is how V8 keeps it */
  readonly #marks = new Map<string, Mark>();
  readonly #held = new Map<string, number>();
  /** goes round the marks; one iterator for the whole round, since a new one would have to pass all deleted entries again */
  #round = this.#marks.entries();

  constructor({ nowMs, maxMarks = 500_000 }: NonceMarksOptions) {
    this.#nowMs = nowMs;
    this.#maxMarks = maxMarks;
  }

  /** The highest nonce handed out; 0 when none is known. */
  last(ticketSession: string): number {
    return this.#live(toKey(ticketSession))?.last ?? 0;
  }

  take(demand: NonceDemand): NonceOutcome {
    const { ticketSession, count, after, limit, holder } = demand;
    const key = toKey(ticketSession);
    const mark = this.#live(key);
    const lastNonce = Math.max(mark?.last ?? 0, after);
    if (lastNonce >= limit) return { kind: 'used-up', lastNonce };
    const expiresSeconds = this.#nowSeconds() + Math.ceil(demand.lifetimeMs / 1000);
    if (mark) {
      mark.last = lastNonce + count;
      mark.expiresSeconds = Math.max(mark.expiresSeconds, expiresSeconds);
    } else if (!this.#add(key, { last: lastNonce + count, expiresSeconds, holder })) {
      return { kind: 'no-room' };
    }
    return { kind: 'taken', lastNonce, isFirst: !mark };
  }

  /**
   * Gives back the nonces of `taken`, which were not used: they are handed out again, unless later ones have been handed out
   * since.
   */
  giveBack({ ticketSession, count }: NonceDemand, taken: NonceOutcome): void {
    if (taken.kind !== 'taken') return;
    const key = toKey(ticketSession);
    const mark = this.#live(key);
    if (mark?.last !== taken.lastNonce + count) return;
    if (taken.isFirst) this.#delete(key, mark);
    else mark.last = taken.lastNonce;
  }

  #add(key: string, mark: Mark): boolean {
    this.#sweep(lookedAt);
    const held = this.#held.get(mark.holder) ?? 0;
    if (held >= greed * (this.#maxMarks - this.#marks.size)) return false;
    this.#marks.set(key, mark);
    this.#held.set(mark.holder, held + 1);
    return true;
  }

  #live(key: string): Mark | undefined {
    const mark = this.#marks.get(key);
    if (!mark || mark.expiresSeconds > this.#nowSeconds()) return mark;
    this.#delete(key, mark);
    return undefined;
  }

  #sweep(steps: number): void {
    const nowSeconds = this.#nowSeconds();
    for (let step = 0; step < steps; step += 1) {
      const { value } = this.#round.next();
      if (value === undefined) {
        this.#round = this.#marks.entries();
        return;
      }
      const [key, mark] = value;
      if (mark.expiresSeconds <= nowSeconds) this.#delete(key, mark);
    }
  }

  #delete(key: string, { holder }: Mark): void {
    this.#marks.delete(key);
    const others = (this.#held.get(holder) ?? 1) - 1;
    if (others === 0) this.#held.delete(holder);
    else this.#held.set(holder, others);
  }

  #nowSeconds(): number {
    return Math.floor(this.#nowMs() / 1000);
  }
}

function toKey(ticketSession: string): string {
  return Buffer.from(ticketSession, 'hex').toString('latin1');
}
