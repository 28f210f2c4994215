const hourMs = 3_600_000;

/** The table is set-associative: a session's id chooses its set, in which the session may have any place. */
const sets = 2 ** 14;
const placesOfSet = 16;
const places = sets * placesOfSet;

/** The hex digits that are used of a session's id of 128 random bits: enough to tell sessions apart. */
const idDigits = 12;

/**
 * Counts the sessions that have paid lately, for one key. Its memory is fixed: 4 MiB, with room for 262,144 sessions. In a full
 * set a session replaces the one that was seen longest ago, so the count is a lower bound; up to 100,000 sessions it is exact
 * except for a few.
 */
export class SessionUsage {
  readonly #ids = new Float64Array(places);
  /** Unix milliseconds, by the place of the id */
  readonly #seenAtMs = new Float64Array(places).fill(-Infinity);
  #lastSeenAtMs: number | undefined;
  /** When counting began, in Unix milliseconds. */
  readonly sinceMs: number;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** `stateId` is in hex, `nowMs` in Unix milliseconds. */
  record(stateId: string, nowMs: number): void {
    const id = Number.parseInt(stateId.slice(0, idDigits), 16);
    const place = this.#placeOf(id);
    this.#ids[place] = id;
    this.#seenAtMs[place] = nowMs;
    this.#lastSeenAtMs = nowMs;
  }

  /** How many sessions have paid in the hour before `nowMs`. */
  sessionsInLastHour(nowMs: number): number {
    let count = 0;
    for (let place = 0; place < places; place += 1) {
      if ((this.#seenAtMs[place] ?? 0) > nowMs - hourMs) count += 1;
    }
    return count;
  }

  /** When a session last paid, in Unix milliseconds; undefined when none has since start. */
  get lastSeenAtMs(): number | undefined {
    return this.#lastSeenAtMs;
  }

  /** The place that the session already has, or else the place of its set that was seen longest ago. */
  #placeOf(id: number): number {
    const first = (id % sets) * placesOfSet;
    let oldest = first;
    for (let place = first; place < first + placesOfSet; place += 1) {
      if (this.#ids[place] === id) return place;
      if ((this.#seenAtMs[place] ?? 0) < (this.#seenAtMs[oldest] ?? 0)) oldest = place;
    }
    return oldest;
  }
}
