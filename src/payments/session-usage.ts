const hourMs = 3_600_000;
/** Beyond this many the count is a lower bound: memory is bounded whatever is asked. */
const maxSessions = 200_000;
/** Of a session's id of 128 random bits, enough to tell sessions apart. */
const idLength = 12;

/** The sessions that have paid lately, by one key. */
export class SessionUsage {
  /** session to the time it was last seen, the one seen longest ago first */
  readonly #seenAtMs = new Map<string, number>();
  #lastSeenAtMs: number | undefined;
  /** When counting began, in Unix milliseconds. */
  readonly sinceMs: number;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** `nowMs` is in Unix milliseconds. */
  record(stateId: string, nowMs: number): void {
    const id = stateId.slice(0, idLength);
    this.#seenAtMs.delete(id);
    this.#seenAtMs.set(id, nowMs);
    this.#lastSeenAtMs = nowMs;
    if (this.#seenAtMs.size > maxSessions) this.#forget(nowMs, 1);
  }

  /** How many sessions have paid in the hour before `nowMs`. */
  sessionsInLastHour(nowMs: number): number {
    this.#forget(nowMs, 0);
    return this.#seenAtMs.size;
  }

  /** When a session last paid, in Unix milliseconds; undefined when none has since start. */
  get lastSeenAtMs(): number | undefined {
    return this.#lastSeenAtMs;
  }

  #forget(nowMs: number, atLeast: number): void {
    let left = atLeast;
    for (const [id, seenAtMs] of this.#seenAtMs) {
      if (left <= 0 && seenAtMs > nowMs - hourMs) return;
      this.#seenAtMs.delete(id);
      left -= 1;
    }
  }
}
