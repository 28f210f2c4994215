/** Runs tasks a few at a time, and never two of them for the same host. */
export class AskQueue {
  readonly #limit: number;
  readonly #busyHosts = new Set<string>();
  readonly #waiting: { readonly host: string; readonly start: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves or rejects as the task does. */
  async run<Result>(host: string, task: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((start) => {
      this.#waiting.push({ host, start });
      this.#startNext();
    });
    try {
      return await task();
    } finally {
      this.#busyHosts.delete(host);
      this.#startNext();
    }
  }

  #startNext(): void {
    while (this.#busyHosts.size < this.#limit) {
      const index = this.#waiting.findIndex(({ host }) => !this.#busyHosts.has(host));
      const [next] = index < 0 ? [] : this.#waiting.splice(index, 1);
      if (!next) return;
      this.#busyHosts.add(next.host);
      next.start();
    }
  }
}
