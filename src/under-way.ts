/** Keeps track of work in progress, so that a shutdown can wait for it. */
export class UnderWay {
  readonly #all = new Set<Promise<unknown>>();

  /** Adds `work`, which counts until it settles, and gives it back. */
  add<Result>(work: Promise<Result>): Promise<Result> {
    this.#all.add(work);
    const end = (): void => void this.#all.delete(work);
    work.then(end, end);
    return work;
  }

  /** Resolves once no work is left, also none that was added meanwhile; after `timeoutMs` at the latest. */
  async end(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), timeoutMs);
    while (this.#all.size > 0) {
      if ((await Promise.race([late.promise, Promise.allSettled(this.#all)])) === 'late') break;
    }
    clearTimeout(timer);
  }
}
