import { inspect } from 'node:util';

const redacted = '[secret]';

/**
 * A PIN, password or token. It prints as `[secret]` everywhere; only `reveal()` gives the text. It is kept as bytes outside of
 * the JavaScript heap, so that a heap snapshot, which people attach to bug reports, does not show it.
 */
export class Secret {
  readonly #bytes: Buffer;

  constructor(text: string) {
    this.#bytes = Buffer.from(text);
  }

  /**
   * The secret text. Call it at the one place that hands it to the device or decrypts with it, and don't keep the text: it
   * stays in the heap for as long as something refers to it.
   */
  reveal(): string {
    return this.#bytes.toString();
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}
