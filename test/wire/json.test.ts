import { describe, expect, it } from 'vitest';
import {
  type JsonValue,
  JsonSyntaxError,
  formatGoJsonString,
  parseFirstJsonValue,
  parseJson,
} from '../../src/wire/json.ts';
import { fc } from '../support/fast-check.ts';

const utf8 = new TextEncoder();
const parse = (text: string) => parseJson(utf8.encode(text));
const parseFirst = (text: string) => parseFirstJsonValue(utf8.encode(text));

/** What `JSON.parse` would have made of it; the last of several members wins there too. */
function toPlain(value: JsonValue): unknown {
  switch (value.kind) {
    case 'null':
      return null;
    case 'number':
      return Number(value.text);
    case 'array':
      return value.items.map(toPlain);
    case 'object':
      return Object.fromEntries(
        value.members.map(({ key, value: member }) => [key, toPlain(member)]),
      );
    case 'boolean':
    case 'string':
      return value.value;
  }
}

const blank = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 3 });

describe('the JSON reader', () => {
  it('reads any JSON as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
        expect(toPlain(parse(text))).toEqual(JSON.parse(text));
        expect(toPlain(parseFirst(text))).toEqual(JSON.parse(text));
      }),
      { numRuns: 1000 },
    );
  });

  it('reads it the same with white space wherever it may be', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 4 }),
        fc.constantFrom(1, 4, '\t', '\r\n '),
        blank,
        (value, indent, around) => {
          const text = around + JSON.stringify(value, null, indent) + around;
          expect(toPlain(parse(text))).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  it('refuses what JSON.parse refuses, and takes what it takes', () => {
    const piece = fc.constantFrom(
      ...['{', '}', '[', ']', ',', ':', '"', '"a"', '1', '-', '0', '.5', 'e1', 'true', 'null', 'x'],
      ...[' ', '\n', '\\', '\\u0041', '\u0001', '\ufeff', '\u00a0', '""'],
    );
    let taken = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join('');
        let expected: { value: unknown } | undefined;
        try {
          expected = { value: JSON.parse(text) as unknown };
        } catch {
          expected = undefined;
        }
        if (expected) {
          taken++;
          expect(toPlain(parse(text))).toEqual(expected.value);
        } else {
          expect(() => parse(text)).toThrow(JsonSyntaxError);
        }
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(50);
  });

  it('refuses valid JSON with any one byte taken away or changed exactly where JSON.parse does', () => {
    const original = '{"a":[1,-2.5e+3,true,null,"x\\u00e9\\n"],"b":{"":""},"b":[]}';
    const bytes = utf8.encode(original);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const variants: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at++) {
      variants.push(Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1)]));
      variants.push(bytes.slice(0, at));
      for (let bit = 0; bit < 8; bit++) {
        variants.push(bytes.map((byte, index) => (index === at ? byte ^ (1 << bit) : byte)));
      }
    }
    for (const variant of variants) {
      const text = decoder.decode(variant);
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      if (isJson) expect(toPlain(parseJson(variant)), text).toEqual(JSON.parse(text));
      else expect(() => parseJson(variant), text).toThrow(JsonSyntaxError);
    }
  });

  it('keeps numbers as they were written', () => {
    for (const text of ['0', '-0', '1e5', '1E+5', '9007199254740993', '1.10', '-12.5e-3']) {
      expect(parse(text)).toEqual({ kind: 'number', text });
    }
  });

  it('keeps every member in order, duplicates included', () => {
    expect(parse('{"b":1,"a":2,"b":3,"__proto__":4}')).toEqual({
      kind: 'object',
      members: [
        { key: 'b', value: { kind: 'number', text: '1' } },
        { key: 'a', value: { kind: 'number', text: '2' } },
        { key: 'b', value: { kind: 'number', text: '3' } },
        { key: '__proto__', value: { kind: 'number', text: '4' } },
      ],
    });
  });

  it.each([
    ...['', ' ', '{', '[', '{"a"', '{"a":', '{"a":1', '{"a":1,}', '[1,]', '[,1]', '{,}', '{a:1}'],
    ...["{'a':1}", '-', '+1', '.5', 'NaN', 'Infinity', 'undefined', 'tru'],
    ...[
      'nul',
      'True',
      '"',
      '"a',
      '"\\"',
      '"\\x"',
      '"\\u12"',
      '"\t"',
      '"\u0000"',
      '}',
      ']',
      ':',
      ',',
    ],
    ...['\ufeff{}', '\u00a0{}', '{"a" 1}', '{"a":1 "b":2}', '[1 2]', '//', '/* */ 1', '{1:2}'],
  ])('refuses %j', (text) => {
    expect(() => parse(text)).toThrow(JsonSyntaxError);
    expect(() => parseFirst(text)).toThrow(JsonSyntaxError);
  });

  it.each(['01', '1.', '1e', '0x1', '1.e5', '1e+', '-01'])('refuses the number %s', (text) => {
    expect(() => parse(text)).toThrow(JsonSyntaxError);
    expect(() => parseFirst(`[${text}]`)).toThrow(JsonSyntaxError);
    expect(() => parseFirst(`{"a":${text}}`)).toThrow(JsonSyntaxError);
  });

  it('reads the first value alone where that is asked for, and refuses the rest where it is not', () => {
    for (const rest of ['x', '{}', ' {', '\u0000', '"', ']']) {
      expect(toPlain(parseFirst(`{"a":1}${rest}`))).toEqual({ a: 1 });
      expect(() => parse(`{"a":1}${rest}`)).toThrow(JsonSyntaxError);
    }
    expect(toPlain(parse('{"a":1} \r\n\t'))).toEqual({ a: 1 });
  });

  it('reads any bytes as text as the platform does, but for one U+FFFD for each invalid byte', () => {
    const units = [
      '61',
      'c3a9',
      'e282ac',
      'f09f9880',
      'ff',
      '80',
      'c0af',
      'eda080',
      'e282',
      'f08080',
    ];
    const piece = fc.constantFrom(...units, 'f4908080', 'f5808080', 'e08080', 'c3', 'f09f98');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const bytes = Buffer.from(pieces.join(''), 'hex');
        const read = parseJson(Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')]));
        if (read.kind !== 'string') throw new Error(read.kind);
        const platform = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        expect(read.value.replace(/\ufffd+/g, '?')).toBe(platform.replace(/\ufffd+/g, '?'));
        // what is left of the bytes is one U+FFFD each
        const valid = Buffer.byteLength(read.value.replaceAll('\ufffd', ''));
        expect(read.value.split('\ufffd')).toHaveLength(bytes.length - valid + 1);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes a sequence of bytes for a character at the edges of UTF-8 exactly where the platform does', () => {
    const platform = new TextDecoder('utf-8', { fatal: true });
    const seconds = [0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0];
    for (let first = 0xc0; first <= 0xf8; first++) {
      for (const second of seconds) {
        for (const rest of [[], [0x80], [0xbf, 0x80], [0x80, 0xc0], [0xc0, 0x80]]) {
          const bytes = Uint8Array.of(first, second, ...rest);
          const read = parseJson(Uint8Array.of(0x22, ...bytes, 0x22));
          let expected: string | undefined;
          try {
            expected = platform.decode(bytes);
          } catch {
            // invalid
          }
          // beside a byte that is none, for what is valid as a whole is not looked at byte by byte
          const beside = parseJson(Uint8Array.of(0x22, 0xff, ...bytes, 0xff, 0x22));
          if (read.kind !== 'string' || beside.kind !== 'string') throw new Error('not a string');
          expect(beside.value).toBe(`\ufffd${read.value}\ufffd`);
          if (expected === undefined) expect(read.value).toContain('\ufffd');
          else expect(read.value).toBe(expected);
        }
      }
    }
  });

  it('spends no more on invalid bytes than on as many of valid members, however few or many there are', () => {
    const size = 2_000_000;
    const oneInvalid = Buffer.from(`"${'a'.repeat(size)}"`).fill(0xff, size / 2, size / 2 + 1);
    const allInvalid = Buffer.from(`"${'a'.repeat(size)}"`).fill(0xff, 1, size + 1);
    const members = Buffer.from(
      `{${Array(Math.floor(size / 6))
        .fill('"a":1')
        .join(',')}}`,
    );
    /** CPU time of this thread, in microseconds: the least of several, to which nothing else that runs adds */
    const costOf = (bytes: Uint8Array): number =>
      Math.min(
        ...Array.from({ length: 5 }, () => {
          const start = process.threadCpuUsage();
          parseJson(bytes);
          const { user, system } = process.threadCpuUsage(start);
          return user + system;
        }),
      );
    const usual = costOf(members);
    expect(costOf(oneInvalid)).toBeLessThan(2 * usual);
    expect(costOf(allInvalid)).toBeLessThan(2 * usual);
  });

  it('has one U+FFFD for each byte of a sequence that breaks off', () => {
    const read = (...bytes: number[]) => parseJson(Uint8Array.of(0x22, ...bytes, 0x22));
    const value = (text: string) => ({ kind: 'string', value: text });
    expect(read(0xf0, 0x90, 0x41, 0x80)).toEqual(value('\ufffd\ufffdA\ufffd'));
    expect(read(0xf0, 0x90, 0x80, 0x41)).toEqual(value('\ufffd\ufffd\ufffdA'));
    expect(read(0xe1, 0x80, 0x41)).toEqual(value('\ufffd\ufffdA'));
    expect(read(0xed, 0xa0, 0x80)).toEqual(value('\ufffd\ufffd\ufffd'));
    expect(read(0xf4, 0x90, 0x80, 0x80)).toEqual(value('\ufffd\ufffd\ufffd\ufffd'));
  });

  it('tells what it found where, or that the text ended', () => {
    expect(() => parse('[x]')).toThrow('invalid character "x" at offset 1 of the JSON input');
    expect(() => parse('{"a":1,2}')).toThrow('invalid character "2" at offset 7');
    expect(() => parse('[1')).toThrow('unexpected end of JSON input');
    expect(() => parse('"a')).toThrow('unexpected end of JSON input');
    expect(() => parse('"\\x"')).toThrow('invalid string at offset 0 of the JSON input');
  });

  it('reads bytes that are no UTF-8, and half surrogates, as U+FFFD', () => {
    expect(parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toEqual({ kind: 'string', value: '\ufffd' });
    expect(parse('"\\ud800"')).toEqual({ kind: 'string', value: '\ufffd' });
    expect(parse('"\\ud83c\\udfa5"')).toEqual({ kind: 'string', value: '🎥' });
  });

  it.each([
    ['arrays', '[', ']'],
    ['objects', '{"a":', '}'],
  ])('refuses %s nested too deeply, and does not run out of stack', (_, open, close) => {
    const nested = (levels: number) => `${open.repeat(levels)}1${close.repeat(levels)}`;
    expect(toPlain(parse(nested(256)))).toEqual(JSON.parse(nested(256)));
    for (const levels of [257, 1_000, 1_000_000]) {
      expect(() => parse(nested(levels))).toThrow(JsonSyntaxError);
      expect(() => parse(open.repeat(levels))).toThrow(JsonSyntaxError);
    }
  });

  it.each([
    ['escaped quotes', 'string', `"${'\\"'.repeat(2_000_000)}"`],
    ['escaped backslashes', 'string', `"${'\\\\'.repeat(2_000_000)}"`],
    ['escaped quotes without an end', 'refused', `"${'\\"'.repeat(2_000_000)}`],
    ['members', 'object', `{${Array(650_000).fill('"a":1').join(',')}}`],
    ['white space', 'array', `[${' '.repeat(4_000_000)}]`],
    ['digits', 'number', '1'.repeat(4_000_000)],
  ])('reads four megabytes of %s in the time of a test: in linear time', (_, kind, text) => {
    if (kind === 'refused') expect(() => parse(text)).toThrow(JsonSyntaxError);
    else expect(parse(text).kind).toBe(kind);
  });
});

describe('formatGoJsonString', () => {
  it('is JSON for the same text, with HTML’s characters and line separators escaped', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const json = formatGoJsonString(text);
        expect(JSON.parse(json)).toBe(text);
        expect(json).not.toMatch(/[<>&\u2028\u2029]/);
      }),
    );
    expect(formatGoJsonString('<a>&\u2028\u2029"\\')).toBe(
      '"\\u003ca\\u003e\\u0026\\u2028\\u2029\\"\\\\"',
    );
  });
});
