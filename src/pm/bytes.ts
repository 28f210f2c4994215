/** `0x` and an even number of lower-case hex digits. */
export type Hex = `0x${string}`;

/** A 20-byte Ethereum address as `0x` and 40 lower-case hex digits, so that `===` compares addresses. */
export type Address = Hex & { readonly __brand: 'Address' };

/** A 32-byte word as `0x` and 64 lower-case hex digits. */
export type Bytes32 = Hex & { readonly __brand: 'Bytes32' };

/** Lower-case hex with `0x`. */
export function toHex(bytes: Uint8Array): Hex {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`;
}

/** Throws RangeError when the text is not an even number of hex digits after `0x`. */
export function fromHex(hex: Hex): Uint8Array {
  return hexToBytes(hex.slice(2));
}

/** The same bytes as a plain Uint8Array, without copying them. */
function plain({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

function hexToBytes(digits: string): Uint8Array {
  const bytes = Buffer.from(digits, 'hex');
  // Node reads a character beyond ASCII as if it were its lowest byte
  const isAscii = Buffer.byteLength(digits) === digits.length;
  if (!isAscii || 2 * bytes.length !== digits.length) {
    throw new RangeError('not an even number of hex digits');
  }
  return plain(bytes);
}

/** The parts joined, one after the other. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return plain(Buffer.concat(parts));
}

/** The UTF-8 bytes of a text. */
export function utf8ToBytes(text: string): Uint8Array {
  return plain(Buffer.from(text));
}

/** The last `size` bytes, left-padded with zeros: how Go reads addresses and hashes of any length. */
function fitRight(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length === size) return bytes;
  const fitted = new Uint8Array(size);
  const tail = bytes.subarray(Math.max(0, bytes.length - size));
  fitted.set(tail, size - tail.length);
  return fitted;
}

/** An address from bytes of any length: the last 20, left-padded with zeros. */
export function addressFromBytes(bytes: Uint8Array): Address {
  return toHex(fitRight(bytes, 20)) as Address;
}

/** A 32-byte word from bytes of any length: the last 32, left-padded with zeros. */
export function bytes32FromBytes(bytes: Uint8Array): Bytes32 {
  return toHex(fitRight(bytes, 32)) as Bytes32;
}

/** `0x` and exactly 40 hex digits of any case; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  return /^0x[0-9a-fA-F]{40}$/.test(text) ? (text.toLowerCase() as Address) : undefined;
}

/** `0x` and exactly 64 hex digits of any case; undefined for anything else. */
export function parseBytes32(text: string): Bytes32 | undefined {
  return /^0x[0-9a-fA-F]{64}$/.test(text) ? (text.toLowerCase() as Bytes32) : undefined;
}

export const zeroBytes32 = bytes32FromBytes(new Uint8Array());

/** Unsigned big-endian bytes of any length; none at all are 0. */
export function bytesToUint(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(toHex(bytes));
}

/** The shortest unsigned big-endian bytes; 0 is the empty array. */
export function uintToMinimalBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array();
  const digits = value.toString(16);
  return hexToBytes(digits.length % 2 === 0 ? digits : `0${digits}`);
}

/** 64 hex digits without `0x`. Throws RangeError when the value is negative or wider than 256 bits. */
export function uintToWord(value: bigint): string {
  if (value < 0n || value > maxUint256) {
    throw new RangeError('value does not fit into 256 bits');
  }
  return value.toString(16).padStart(64, '0');
}

/** 32 bytes, big-endian. Throws RangeError when the value is negative or wider than 256 bits. */
export function uintToBytes32(value: bigint): Uint8Array {
  return hexToBytes(uintToWord(value));
}

export const maxUint256 = 2n ** 256n - 1n;
