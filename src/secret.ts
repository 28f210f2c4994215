import { inspect } from 'node:util';

const redacted = '[secret]';

/** A PIN, password or token. It prints as `[secret]` everywhere; only `reveal()` gives the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The secret text. Call it at the one place that hands it to the device or decrypts with it. */
  reveal(): string {
    return this.#text;
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
