import { describe, expect, it } from 'vitest';
import { CapabilitiesSchema, OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { readMessage } from '../../src/wire/protobuf.ts';

const bytes = (digits: string): Uint8Array =>
  Uint8Array.from(Buffer.from(digits.replaceAll(' ', ''), 'hex'));
const readInfo = (digits: string) => readMessage(OrchestratorInfoSchema, bytes(digits));
const readCapabilities = (digits: string) => readMessage(CapabilitiesSchema, bytes(digits));

describe('readMessage', () => {
  it.each([
    ['a length whose low 32 bits alone would fit', '0a 8180808010 61'],
    ['a length of an unknown field whose low 32 bits alone would fit', '7a 8180808010 61'],
    ['a length beyond the end', '0a 05 61'],
    ['an unknown number in eleven bytes', '78 8080808080808080808000'],
    ['an unknown number of over 64 bits', '78 ffffffffffffffffff02'],
    ['a price of over 64 bits', '1a 0b 08 ffffffffffffffffff02'],
    ['a number of over 64 bits in a group', '7b 08 ffffffffffffffffff02 7c'],
    ['a length in a group whose low 32 bits alone would fit', '7b 0a 8180808010 61 7c'],
    ['a group that ends under another number', '7b 84 01'],
    ['a group without an end', '7b 08 01'],
    ['a number that breaks off', '78 80'],
    ['text that is no UTF-8', '0a 01 ff'],
  ])('refuses, as Go does, %s', (_, digits) => {
    expect(() => readInfo(digits)).toThrow();
  });

  it('refuses packed numbers of over 64 bits, as Go does', () => {
    expect(() => readCapabilities('0a 0a ffffffffffffffffff02')).toThrow(/over 64 bits/);
    expect(readCapabilities('0a 0b ffffffffffffffffff01 05').bitstring).toEqual([
      2n ** 64n - 1n,
      5n,
    ]);
  });

  it('keeps what Go takes: groups, and numbers and lengths in more bytes than they need', () => {
    const info = readInfo('0a 818000 61 7b 08 01 13 14 7c 78 ffffffffffffffffff01');
    expect(info.transcoder).toBe('a');
    expect(info.$unknown?.map(({ no, data }) => [no, Buffer.from(data).toString('hex')])).toEqual([
      [15, '080113147c'],
      [15, 'ffffffffffffffffff01'],
    ]);
  });

  it('refuses a hundred and one groups within each other', () => {
    const nested = (depth: number) => '7b'.repeat(depth) + '7c'.repeat(depth);
    expect(readInfo(nested(100)).$unknown).toHaveLength(1);
    expect(() => readInfo(nested(101))).toThrow(/nested/);
  });

  it('refuses an entry of a map with two values, of which one would be lost', () => {
    const one = '12 04 0a02 0a00';
    expect(readCapabilities(`2a 0a 12 08 08 23 ${one}`).constraints?.perCapability).toHaveProperty(
      '35',
    );
    expect(() => readCapabilities(`2a 10 12 0e 08 23 ${one} ${one}`)).toThrow(/two values/);
  });
});
