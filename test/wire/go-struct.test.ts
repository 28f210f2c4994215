import { describe, expect, it } from 'vitest';
import {
  FieldTypeError,
  bytesField,
  createStructReader,
  describeStruct,
  int64Field,
  maxInt64,
  maxUint32,
  maxUint64,
  minInt64,
  named,
  numberTextField,
  readInteger,
  stringField,
} from '../../src/wire/go-struct.ts';
import { parseJson } from '../../src/wire/json.ts';

type Struct = Partial<Record<'text' | 'number', string>> & { integer?: bigint; bytes?: Uint8Array };

const fields = {
  text: stringField<Struct>({ maxLength: 9 }, (target, text) => (target.text = text)),
  bytes: bytesField<Struct>({ minLength: 1 }, (target, bytes) => (target.bytes = bytes)),
  integer: int64Field<Struct>({ minimum: 0 }, (target, integer) => (target.integer = integer)),
  number: named(
    'path.of.it',
    numberTextField<Struct>({ title: 'n' }, (target, text) => (target.number = text)),
  ),
};
const number = (text: string) => ({ kind: 'number', text }) as const;

function read(json: string, target: Struct = {}): Struct {
  const value = parseJson(new TextEncoder().encode(json));
  if (value.kind !== 'object') throw new Error('the test needs an object');
  createStructReader(fields)(target, value.members);
  return target;
}

describe('a struct’s fields', () => {
  it('are described as clients should write them, null for absent', () => {
    expect(describeStruct(fields, { title: 'struct' })).toEqual({
      type: 'object',
      title: 'struct',
      properties: {
        text: { type: ['string', 'null'], maxLength: 9 },
        bytes: { type: ['string', 'null'], contentEncoding: 'base64', minLength: 1 },
        integer: { type: ['integer', 'null'], format: 'int64', minimum: 0 },
        number: {
          type: ['number', 'string', 'null'],
          pattern: '^-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$',
          title: 'n',
        },
      },
    });
  });

  it('are read by name in any case, and by the last of several members', () => {
    expect(read('{"TEXT":"a","text":"b","Integer":-7,"ſ":1,"number":"1e3"}')).toEqual({
      text: 'b',
      integer: -7n,
      number: '1e3',
    });
  });

  it('are left as they are by null, but for bytes, which it empties', () => {
    const target = { text: 'kept', bytes: Uint8Array.of(1), integer: 1n, number: '1' };
    read('{"text":null,"bytes":null,"integer":null,"number":null}', target);
    expect(target).toEqual({ ...target, text: 'kept', bytes: new Uint8Array(), integer: 1n });
  });

  it('take bytes as base64 or as an array, in which null is 0', () => {
    expect(read('{"bytes":"AQI="}').bytes).toEqual(Uint8Array.of(1, 2));
    expect(read('{"bytes":[255,null,0]}').bytes).toEqual(Uint8Array.of(255, 0, 0));
    for (const wrong of ['[256]', '[-1]', '[1.5]', '[01]', '["1"]', '"A"', '{}', '7']) {
      expect(() => read(`{"bytes":${wrong}}`)).toThrow();
    }
  });

  it.each([
    ['{"text":1}', 'field text: expected a string'],
    ['{"number":true}', 'field path.of.it: expected a number'],
    ['{"number":" 1"}', 'field path.of.it: expected a number'],
    ['{"integer":"1"}', 'field integer: expected an integer from'],
  ])('name the one that does not fit: %s', (json, message) => {
    expect(() => read(json)).toThrow(FieldTypeError);
    expect(() => read(json)).toThrow(message);
  });
});

describe('an integer', () => {
  it('has the bounds of Go’s types', () => {
    expect([minInt64, maxInt64]).toEqual([-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn]);
    expect([maxUint32, maxUint64]).toEqual([0xffff_ffffn, 0xffff_ffff_ffff_ffffn]);
  });

  it('is read up to both bounds and not beyond', () => {
    for (const [minimum, maximum] of [
      [minInt64, maxInt64],
      [0n, maxUint64],
    ] as const) {
      const parse = (value: bigint) => readInteger(number(`${value}`), 'x', minimum, maximum);
      for (const bound of [minimum, maximum]) expect(parse(bound)).toBe(bound);
      for (const beyond of [minimum - 1n, maximum + 1n]) {
        expect(() => parse(beyond)).toThrow(FieldTypeError);
      }
    }
  });

  it.each(['1.5', '1e5', '1.0', '-0.5', '-1'])('is not %s where it is unsigned', (text) => {
    expect(() => readInteger(number(text), 'x', 0n, maxUint32)).toThrow(FieldTypeError);
  });

  it.each(['1.5', '1e5', '-1.0'])('is not %s where it is signed', (text) => {
    expect(() => readInteger(number(text), 'x', minInt64, maxInt64)).toThrow(FieldTypeError);
  });
});
