/** Keeps whole numbers by name, and knows who has the largest. A change takes as many steps as the number changes by. */
export class Ranking {
  readonly #numbers = new Map<string, number>();
  readonly #names = new Map<number, Set<string>>();
  #largest = 0;

  /** The name with the largest number, and of several the one that has had it for longest; undefined when all are 0. */
  get first(): string | undefined {
    return this.#names.get(this.#largest)?.values().next().value;
  }

  /** Changes a number by `difference`; it does not go below 0. */
  change(name: string, difference: number): void {
    const before = this.#numbers.get(name) ?? 0;
    const after = before + difference;
    this.#take(name, before);
    if (after > 0) this.#put(name, after);
    while (this.#largest > 0 && !this.#names.has(this.#largest)) this.#largest -= 1;
  }

  #take(name: string, number: number): void {
    const names = this.#names.get(number);
    this.#numbers.delete(name);
    names?.delete(name);
    if (names?.size === 0) this.#names.delete(number);
  }

  #put(name: string, number: number): void {
    const names = this.#names.get(number) ?? new Set();
    this.#names.set(number, names.add(name));
    this.#numbers.set(name, number);
    if (number > this.#largest) this.#largest = number;
  }
}
