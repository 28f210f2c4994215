/** Repeatable choices of one schedule. The generator is Tommy Ettinger's mulberry32. */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) >>> 0;
  }

  /** From 0 to below 1. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    const state = this.#state;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to `below` - 1. */
  int(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.int(items.length)] ?? items[0];
  }

  hex(bytes: number): string {
    let digits = '';
    while (digits.length < 2 * bytes)
      digits += Math.floor(this.fraction() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    return digits.slice(0, 2 * bytes);
  }
}
