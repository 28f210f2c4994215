import { isUtf8 } from 'node:buffer';

/**
 * A JSON value that keeps what Go's decoder sees and `JSON.parse` drops: numbers as they were written, and every
 * member of an object in order, duplicates included.
 */
export type JsonValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'array'; readonly items: readonly JsonValue[] }
  | { readonly kind: 'object'; readonly members: readonly JsonMember[] };

export type JsonMember = { readonly key: string; readonly value: JsonValue };

/** The text is not JSON; the message says where. */
export class JsonSyntaxError extends Error {}

const maxDepth = 256;
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** A string without escapes in which no character needs one. */
const plainStringPattern = /"[ !#-[\]-~]*"/y;
const literals = { t: 'true', f: 'false', n: 'null' } as const;

class Reader {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    if (depth > maxDepth) throw new JsonSyntaxError('JSON is nested too deeply');
    const first = this.peek();
    switch (first) {
      case '{':
        return { kind: 'object', members: this.#list('}', () => this.#member(depth)) };
      case '[':
        return { kind: 'array', items: this.#list(']', () => this.value(depth + 1)) };
      case '"':
        return { kind: 'string', value: this.#string() };
      case 't':
      case 'f':
      case 'n': {
        const literal = literals[first];
        if (!this.#text.startsWith(literal, this.#position)) return this.fail();
        this.#position += literal.length;
        return first === 'n' ? { kind: 'null' } : { kind: 'boolean', value: first === 't' };
      }
      default: {
        const start = this.#position;
        numberPattern.lastIndex = start;
        if (!numberPattern.test(this.#text)) return this.fail();
        this.#position = numberPattern.lastIndex;
        return { kind: 'number', text: this.#text.slice(start, this.#position) };
      }
    }
  }

  /** The next character that is not white space, still to be read; '' at the end. */
  peek(): string {
    for (;;) {
      const next = this.#text[this.#position] ?? '';
      if (next !== ' ' && next !== '\n' && next !== '\r' && next !== '\t') return next;
      this.#position++;
    }
  }

  fail(): never {
    const found = this.#text[this.#position];
    throw new JsonSyntaxError(
      found === undefined
        ? 'unexpected end of JSON input'
        : `invalid character ${JSON.stringify(found)} at offset ${this.#position} of the JSON input`,
    );
  }

  #member(depth: number): JsonMember {
    if (this.peek() !== '"') this.fail();
    const key = this.#string();
    if (this.peek() !== ':') this.fail();
    this.#position++;
    return { key, value: this.value(depth + 1) };
  }

  #list<Item>(end: string, readItem: () => Item): Item[] {
    this.#position++;
    const items: Item[] = [];
    if (this.peek() !== end) {
      items.push(readItem());
      while (this.peek() === ',') {
        this.#position++;
        items.push(readItem());
      }
      if (this.peek() !== end) this.fail();
    }
    this.#position++;
    return items;
  }

  #string(): string {
    const start = this.#position;
    plainStringPattern.lastIndex = start;
    if (plainStringPattern.test(this.#text)) {
      this.#position = plainStringPattern.lastIndex;
      return this.#text.slice(start + 1, this.#position - 1);
    }
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) {
        this.#position = this.#text.length;
        this.fail();
      }
    } while (this.#isEscaped(end));
    try {
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string;
      this.#position = end + 1;
      return value.toWellFormed();
    } catch {
      throw new JsonSyntaxError(`invalid string at offset ${start} of the JSON input`);
    }
  }

  #isEscaped(position: number): boolean {
    let backslashes = 0;
    while (this.#text[position - 1 - backslashes] === '\\') backslashes++;
    return backslashes % 2 === 1;
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Text as Go decodes it: each byte that is not part of a valid sequence becomes one U+FFFD. */
function decodeUtf8(bytes: Uint8Array): string {
  return utf8.decode(isUtf8(bytes) ? bytes : replaceInvalid(bytes));
}

/** Up to this many bytes a loop copies faster than a call. */
const shortRun = 32;

/** The same bytes with U+FFFD, which takes three bytes, in place of each invalid byte. */
function replaceInvalid(bytes: Uint8Array): Uint8Array {
  const valid = new Uint8Array(3 * bytes.length);
  let length = 0;
  let validFrom = 0;
  const takeUpTo = (end: number): void => {
    if (end - validFrom > shortRun) {
      valid.set(bytes.subarray(validFrom, end), length);
      length += end - validFrom;
    } else {
      while (validFrom < end) valid[length++] = bytes[validFrom++] ?? 0;
    }
  };
  for (let position = 0; position < bytes.length;) {
    const size = (bytes[position] ?? 0) < 0x80 ? 1 : sequenceLength(bytes, position);
    if (size === 0) {
      if (validFrom < position) takeUpTo(position);
      valid[length++] = 0xef;
      valid[length++] = 0xbf;
      valid[length++] = 0xbd;
      validFrom = position + 1;
    }
    position += size === 0 ? 1 : size;
  }
  takeUpTo(bytes.length);
  return valid.subarray(0, length);
}

/** The length of the valid multi-byte UTF-8 sequence at `position`, in bytes; 0 where there is none. */
function sequenceLength(bytes: Uint8Array, position: number): number {
  const first = bytes[position] ?? 0;
  const second = bytes[position + 1] ?? 0;
  const isContinued = (at: number): boolean => ((bytes[position + at] ?? 0) & 0xc0) === 0x80;
  if (first < 0xc2 || first > 0xf4 || !isContinued(1)) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) {
    const isOverlong = first === 0xe0 && second < 0xa0;
    const isSurrogate = first === 0xed && second > 0x9f;
    return !isOverlong && !isSurrogate && isContinued(2) ? 3 : 0;
  }
  const isOverlong = first === 0xf0 && second < 0x90;
  const isBeyond = first === 0xf4 && second > 0x8f;
  return !isOverlong && !isBeyond && isContinued(2) && isContinued(3) ? 4 : 0;
}

/** The first JSON value of the bytes; what follows it is not read, as with Go's `Decoder.Decode`. Invalid UTF-8 reads as U+FFFD. Throws {@link JsonSyntaxError}. */
export function parseFirstJsonValue(bytes: Uint8Array): JsonValue {
  return new Reader(decodeUtf8(bytes)).value(0);
}

/** The one JSON value of the bytes, as with Go's `json.Unmarshal`. Throws {@link JsonSyntaxError}. */
export function parseJson(bytes: Uint8Array): JsonValue {
  const reader = new Reader(decodeUtf8(bytes));
  const value = reader.value(0);
  if (reader.peek() !== '') reader.fail();
  return value;
}

const goEscapes: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** A JSON string as Go's `json.Marshal` writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped. */
export function formatGoJsonString(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (found) => goEscapes[found] ?? found);
}
