import { DiscoveryError } from './discovery-error.ts';
import { type DiscoveryFilter, type DiscoverySnapshot, formatAnswer } from './snapshot.ts';

/** The newest snapshot, as requests see it: nothing here waits, or asks anybody. */
export class CurrentSnapshot {
  readonly #maxAgeMs: number;
  #snapshot: DiscoverySnapshot = { entries: [] };
  #takenAtMs = 0;
  /** the answer without filters, once it was asked for */
  #everything: string | undefined;

  /** A snapshot that no newer one has replaced for `maxAgeMs` counts for nothing. */
  constructor(maxAgeMs: number) {
    this.#maxAgeMs = maxAgeMs;
  }

  readonly take = (snapshot: DiscoverySnapshot): void => {
    this.#snapshot = snapshot;
    this.#takenAtMs = performance.now();
    this.#everything = undefined;
  };

  /** As it was taken last, however long ago. */
  snapshot(): DiscoverySnapshot {
    return this.#snapshot;
  }

  /** The answer to a question, JSON. Throws `DISCOVERY_UNAVAILABLE` where nothing is known. */
  readonly answer = (filter: DiscoveryFilter): string => {
    const isCurrent = performance.now() - this.#takenAtMs <= this.#maxAgeMs;
    if (this.#snapshot.entries.length === 0 || !isCurrent) {
      throw new DiscoveryError('DISCOVERY_UNAVAILABLE', 'no orchestrator is known', {
        retryable: true,
      });
    }
    if (Object.values(filter).some((values: readonly string[]) => values.length > 0)) {
      return formatAnswer(this.#snapshot, filter);
    }
    this.#everything ??= formatAnswer(this.#snapshot, filter);
    return this.#everything;
  };
}
