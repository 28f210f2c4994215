/** Between two starts: the handshakes of many at once would make the process's other work wait. */
const spacingMs = 20;

/** Starts tasks one after another, has only a few under way, and never two of them for the same host. */
export class AskQueue {
  readonly #limit: number;
  #pause: NodeJS.Timeout | undefined;
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
    if (this.#pause || this.#busyHosts.size >= this.#limit) return;
    const index = this.#waiting.findIndex(({ host }) => !this.#busyHosts.has(host));
    const [next] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (!next) return;
    this.#busyHosts.add(next.host);
    next.start();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#startNext();
    }, spacingMs);
  }
}
