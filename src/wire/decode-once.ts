import { RecentlyUsed } from '../recently-used.ts';

/** Values that are remembered. */
const maxRemembered = 500;
/** Several times what clients send, in bytes; what is larger is decoded each time, as is what an answer copies more of. */
const maxBytes = 4096;
const maxCopiedBytes = 512;

/** What is decoded, and how many bytes of it an answer copies: what a value takes in memory grows with them. */
type Decoded = { readonly copiedBytes: number };

/**
 * Makes `decode` remember the values of the bytes that came last: a session sends the same with each payment. So the same object
 * may be given again, and nobody may change it. What `decode` throws is not remembered.
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
    // parts of the request's own bytes would keep all of them in memory
    const value = decode(new Uint8Array(bytes));
    if (value.copiedBytes <= maxCopiedBytes) known.set(key, value);
    return value;
  };
}
