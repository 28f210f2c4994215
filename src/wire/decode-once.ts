import { RecentlyUsed } from '../recently-used.ts';

/** How many values are remembered. */
const maxRemembered = 500;
/** In bytes: several times what clients send. A larger message, and one of which an answer copies more, is decoded each time. */
const maxBytes = 4096;
const maxCopiedBytes = 512;

/** A decoded value, with the number of its bytes that an answer copies: the value's size in memory grows with them. */
type Decoded = { readonly copiedBytes: number };

/**
 * Makes `decode` remember the values of the latest byte strings, since a session sends the same bytes with each payment. The same
 * object may therefore be given again, and nobody may change it. What `decode` throws is not remembered.
 */
export function decodeOnce<Value extends Decoded>(
  decode: (bytes: Uint8Array) => Value,
): (bytes: Uint8Array) => Value {
  const known = new RecentlyUsed<string, Value>(maxRemembered);
  return (bytes) => {
    if (bytes.length > maxBytes) return decode(bytes);
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    const earlier = known.get(key);
    if (earlier) return earlier;
    // a value may refer to parts of its bytes: without this copy it would keep the whole request in memory
    const value = decode(new Uint8Array(bytes));
    if (value.copiedBytes <= maxCopiedBytes) known.set(key, value);
    return value;
  };
}
