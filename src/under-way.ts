/** Work that somebody must not end before. */
export class UnderWay {
  readonly #all = new Set<Promise<unknown>>();

  /** Gives `work` back, which counts until it settles. */
  add<Result>(work: Promise<Result>): Promise<Result> {
    this.#all.add(work);
    const end = (): void => void this.#all.delete(work);
    work.then(end, end);
    return work;
  }

  /** Resolves once none is left, what was added meanwhile included, or after `timeoutMs`. */
  async end(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), timeoutMs);
    while (this.#all.size > 0) {
      if ((await Promise.race([late.promise, Promise.allSettled(this.#all)])) === 'late') break;
    }
    clearTimeout(timer);
  }
}
