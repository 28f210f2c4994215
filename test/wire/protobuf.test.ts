import {
  BoolValueSchema,
  BytesValueSchema,
  DoubleValueSchema,
  FloatValueSchema,
  ListValueSchema,
} from '@bufbuild/protobuf/wkt';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
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

  it('counts the messages around a group as well', () => {
    const nested = (depth: number) => '7b'.repeat(depth) + '7c'.repeat(depth);
    const within = (tag: string, inner: string): string => {
      const size = inner.length / 2;
      return `${tag}${Buffer.from([(size & 0x7f) | 0x80, size >> 7]).toString('hex')}${inner}`;
    };
    // a price within the orchestrator's
    expect(() => readInfo(within('1a', nested(99)))).not.toThrow();
    expect(() => readInfo(within('1a', nested(100)))).toThrow(/nested/);
    // constraints, of them an entry of a map, and in it a message
    const inMap = (depth: number) =>
      within('2a', within('12', `0823${within('12', nested(depth))}`));
    expect(() => readCapabilities(inMap(97))).not.toThrow();
    expect(() => readCapabilities(inMap(98))).toThrow(/nested/);
  });

  it('refuses a hundred and one messages within each other', () => {
    const nested = (messages: number): Uint8Array => {
      let inner = new Uint8Array();
      // a list of one value, a value that is a list, and so on
      for (let depth = messages; depth > 1; depth--) {
        const tag = depth % 2 === 0 ? 1 : 6;
        inner = new BinaryWriter().tag(tag, WireType.LengthDelimited).bytes(inner).finish();
      }
      return inner;
    };
    expect(() => readMessage(ListValueSchema, nested(100))).not.toThrow();
    expect(() => readMessage(ListValueSchema, nested(101))).toThrow(
      'messages are nested more than 100 deep',
    );
  });

  it('takes each kind of field under its own wire types alone', () => {
    expect(readInfo('9202 01 61').nodes).toEqual(['a']);
    const varint = readInfo('9002 05');
    expect(varint.nodes).toEqual([]);
    expect(varint.$unknown).toMatchObject([{ no: 34, wireType: 0 }]);
    const double = (digits: string) => readMessage(DoubleValueSchema, bytes(digits));
    expect(double('09 000000000000f83f').value).toBe(1.5);
    expect(double('0d 0000c03f')).toMatchObject({ value: 0, $unknown: [{ no: 1, wireType: 5 }] });
    const float = (digits: string) => readMessage(FloatValueSchema, bytes(digits));
    expect(float('0d 0000c03f').value).toBe(1.5);
    expect(float('08 01')).toMatchObject({ value: 0, $unknown: [{ no: 1, wireType: 0 }] });
    expect(readMessage(BoolValueSchema, bytes('08 01')).value).toBe(true);
    expect(readMessage(BoolValueSchema, bytes('0a 01 01')).$unknown).toHaveLength(1);
    expect(readMessage(BytesValueSchema, bytes('0a 01 01')).value).toEqual(Uint8Array.of(1));
    // packed, one by one, and an enum
    expect(readCapabilities('0a 02 01 02 08 03').bitstring).toEqual([1n, 2n, 3n]);
    expect(readCapabilities('0d 01000000').bitstring).toEqual([]);
    const list = (digits: string) => readMessage(ListValueSchema, bytes(digits)).values;
    expect(list('0a 02 08 00').map(({ kind }) => kind.case)).toEqual(['nullValue']);
    expect(list('0a 05 0d 00000000').map(({ kind }) => kind.case)).toEqual([undefined]);
  });

  it('keeps the order of fields where some that nobody knows are taken out', () => {
    expect(readInfo('9202 01 61 78 01 9202 01 62 9202 01 63').nodes).toEqual(['a', 'b', 'c']);
    expect(readInfo('0a 01 61 78 01 0a 01 62').transcoder).toBe('b');
  });

  it('takes 4,096 fields and no more', () => {
    expect(readInfo('7801'.repeat(4096)).$unknown).toHaveLength(4096);
    expect(() => readInfo('7801'.repeat(4097))).toThrow('more than 4096 fields');
  });

  it('refuses an entry of a map with two values, of which one would be lost', () => {
    const one = '12 04 0a02 0a00';
    expect(readCapabilities(`2a 0a 12 08 08 23 ${one}`).constraints?.perCapability).toHaveProperty(
      '35',
    );
    expect(() => readCapabilities(`2a 10 12 0e 08 23 ${one} ${one}`)).toThrow(/two values/);
  });
});
