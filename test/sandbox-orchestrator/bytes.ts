import { keccak_256 } from '@noble/hashes/sha3';

/** keccak-256 of the concatenated parts, 32 bytes. */
export function keccak256(...parts: Uint8Array[]): Uint8Array {
  return keccak_256(Buffer.concat(parts));
}

/** The unsigned big-endian integer in `bytes`; 0 for none. */
export function toInteger(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

/** `|value|` in big-endian without leading zero bytes (none at all for 0), as Go's `big.Int.Bytes`. */
export function toMinimalBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array();
  const hex = (value < 0n ? -value : value).toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

/** The last `size` bytes, padded with zeros on the left, as go-ethereum makes addresses and hashes. */
export function toFixedBytes(bytes: Uint8Array, size: number): Uint8Array {
  const fixed = new Uint8Array(size);
  const tail = bytes.subarray(Math.max(0, bytes.length - size));
  fixed.set(tail, size - tail.length);
  return fixed;
}

/** `value` as a 32-byte big-endian word. */
export function toWord(value: bigint): Uint8Array {
  return toFixedBytes(toMinimalBytes(value), 32);
}

/** Lower-case hex with `0x`. */
export function toHex(bytes: Uint8Array): `0x${string}` {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}

/** The bytes of hex text, with or without `0x`. */
export function fromHex(hex: string): Uint8Array {
  return Buffer.from(hex.replace(/^0x/, ''), 'hex');
}

/** Whether both hold the same bytes. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
