export type BackoffOptions = {
  /** At least 0, below 1. */
  readonly random: () => number;
  /** How much to wait in all, in milliseconds. */
  readonly maxWaitMs: number;
};

const firstPauseMs = 250;
const longestPauseMs = 5_000;

/**
 * Pauses between tries: as long as the other side asks for, else 0.25 s, 0.5 s, 1 s … 5 s; each up to a quarter longer, so that
 * clients that were sent away together don't come back together.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #tries = 0;
  #waitedMs = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Waits before the next try. False, at once, where that would exceed the time there is. Throws the reason of an abort. */
  async pause(askedMs: number | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    const { random, maxWaitMs } = this.#options;
    const atLeastMs = askedMs ?? Math.min(longestPauseMs, firstPauseMs * 2 ** this.#tries);
    const pauseMs = atLeastMs * (1 + random() / 4);
    if (this.#waitedMs + pauseMs > maxWaitMs) return false;
    this.#tries += 1;
    this.#waitedMs += pauseMs;
    await sleep(pauseMs, signal);
    return true;
  }
}

/** Resolves after `ms` milliseconds. Throws the reason of an abort. */
export async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const timer = setTimeout(end, ms);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
