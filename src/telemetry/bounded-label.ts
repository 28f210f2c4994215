/** Limits the number of values of a label: the first ones keep their names, and all others share one. */
export class BoundedLabel {
  readonly #maximum: number;
  readonly #known = new Set<string>();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** The label for a value: itself, or `other`. */
  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#maximum) return 'other';
    this.#known.add(value);
    return value;
  }
}
