import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../plugins/gcp-kms/crc32c.ts';

describe('crc32c', () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);

  it.each([
    ['no bytes', Uint8Array.of(), 0],
    ['32 zero bytes (RFC 3720 B.4)', new Uint8Array(32), 0x8a9136aa],
    ['32 bytes of 0xff (RFC 3720 B.4)', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['0 to 31 (RFC 3720 B.4)', ascending, 0x46dd794e],
    ['31 to 0 (RFC 3720 B.4)', ascending.toReversed(), 0x113fdb5c],
    ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ])('gives the published checksum of %s', (_, bytes, checksum) => {
    expect(crc32c(bytes)).toBe(checksum);
  });
});
