import type { ChainView } from './orchestrator.ts';

/** Time and chain as a sandbox orchestrator sees them; both can be moved, backwards too. */
export class SandboxWorld {
  readonly #now: () => bigint;
  #offsetNs = 0n;
  #chain: ChainView;

  /** `now` gives Unix time in nanoseconds. */
  constructor(now: () => bigint, chain: ChainView) {
    this.#now = now;
    this.#chain = chain;
  }

  /** Unix time in nanoseconds, moved by what was advanced so far. */
  readonly now = (): bigint => this.#now() + this.#offsetNs;

  readonly chain = (): ChainView => this.#chain;

  /** Moves the clock by `seconds` and the L1 block by `l1Blocks`. */
  advance({ seconds = 0n, l1Blocks = 0n }: { seconds?: bigint; l1Blocks?: bigint }): void {
    this.#offsetNs += seconds * 1_000_000_000n;
    this.#chain = { ...this.#chain, l1Block: this.#chain.l1Block + l1Blocks };
  }
}
