/** The Castagnoli polynomial with its bits reversed, RFC 3720 section 12.1. */
const polynomial = 0x82f63b78;

/**
 * CRC-32C as Cloud KMS uses it for its integrity fields: an unsigned 32-bit number. (`zlib.crc32` has another polynomial.)
 * Bit by bit, because what it is used for has less than 300 bytes.
 */
export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) {
    remainder ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0);
    }
  }
  return ~remainder >>> 0;
}
