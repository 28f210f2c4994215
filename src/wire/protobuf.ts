import {
  type DescField,
  type DescMessage,
  type MessageShape,
  ScalarType,
  type UnknownField,
  fromBinary,
} from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/**
 * Reads a message as Go does: a field of another wire type than the schema's is an unknown field, where the library would read
 * its bytes as a value. Unknown fields are kept in the order of the bytes, in the message itself and in messages that are neither
 * in a list nor in a map. Throws for what is not protobuf, and for more than {@link maxFields} fields. Unlike Go, it also throws
 * for tags of more than five bytes, and for a map entry with two messages, which Go merges.
 */
export function readMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  const reading: Reading = { unknown: new Map(), fieldsLeft: maxFields };
  const message = fromBinary(schema, keepDeclared(schema, bytes, maxDepth, [], reading));
  for (const { path, fields } of reading.unknown.values()) {
    const holder = path.reduce<unknown>(
      (parent, name) => (parent as Record<string, unknown>)[name],
      message,
    );
    (holder as { $unknown?: UnknownField[] }).$unknown = fields;
  }
  return message;
}

/** Why {@link readMessage} could not read a message of this name. */
export function describeUnreadable(name: string, cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : 'unreadable';
  return `proto: cannot parse ${name}: ${reason}`;
}

type Reading = {
  /** one entry for each path: the local names of the fields that lead to the message */
  readonly unknown: Map<string, { readonly path: readonly string[]; fields: UnknownField[] }>;
  fieldsLeft: number;
};

const maxDepth = 100;
/**
 * The most fields of a message, nested ones included: many times what orchestrators send. A field may be as short as two bytes
 * and cost a thousand times the work of them.
 */
const maxFields = 4096;

/**
 * The bytes without unknown fields, which `reading` collects. Inside lists and maps, where `path` is undefined, unknown fields
 * are lost.
 */
function keepDeclared(
  schema: DescMessage,
  bytes: Uint8Array,
  depth: number,
  path: readonly string[] | undefined,
  reading: Reading,
): Uint8Array {
  return keepFields(bytes, depth, reading, {
    declared: (number) => {
      const field = fieldsOf(schema).get(number);
      if (!field) return undefined;
      const { fieldKind, localName } = field;
      const inner = fieldKind === 'message' && path ? [...path, localName] : undefined;
      const nested = (value: Uint8Array): Uint8Array => {
        if (fieldKind === 'map') return keepMapEntry(field, value, depth - 1, reading);
        if (fieldKind === 'list' && field.listKind === 'scalar') requirePacked(field.scalar, value);
        if (!field.message) return value;
        return keepDeclared(field.message, value, depth - 1, inner, reading);
      };
      return { wireTypes: wireTypesOf(field), nested };
    },
    dropped: (field) => {
      if (!path) return;
      const key = path.join('.');
      const earlier = reading.unknown.get(key);
      if (earlier) earlier.fields.push(field);
      else reading.unknown.set(key, { path, fields: [field] });
    },
  });
}

/** A map's entry is a message of key, field 1, and value, field 2. */
function keepMapEntry(
  field: DescField & { readonly fieldKind: 'map' },
  bytes: Uint8Array,
  depth: number,
  reading: Reading,
): Uint8Array {
  const same = (value: Uint8Array): Uint8Array => value;
  const { message, scalar } = field;
  let hasValue = false;
  return keepFields(bytes, depth, reading, {
    declared: (number) => {
      if (number === 1) return { wireTypes: [wireTypeOf(field.mapKey)], nested: same };
      if (number !== 2) return undefined;
      if (!message) return { wireTypes: [wireTypeOf(scalar ?? ScalarType.INT32)], nested: same };
      return {
        wireTypes: [WireType.LengthDelimited],
        nested(value) {
          // the library would forget the first
          if (hasValue) throw new Error('an entry of a map has two values');
          hasValue = true;
          return keepDeclared(message, value, depth - 1, undefined, reading);
        },
      };
    },
    dropped: () => undefined,
  });
}

type Fields = {
  /** what the schema declares for a field number: the wire types it may have, and what is kept of a length-delimited value */
  readonly declared: (number: number) =>
    | {
        readonly wireTypes: readonly WireType[];
        readonly nested: (value: Uint8Array) => Uint8Array;
      }
    | undefined;
  readonly dropped: (field: UnknownField) => void;
};

/** The fields to keep; the same array where nothing had to be dropped. */
function keepFields(
  bytes: Uint8Array,
  depth: number,
  reading: Reading,
  fields: Fields,
): Uint8Array {
  if (depth <= 0) throw new Error(`messages are nested more than ${maxDepth} deep`);
  const reader = new BinaryReader(bytes);
  const kept: Uint8Array[] = [];
  let isWhole = true;
  while (reader.pos < bytes.length) {
    if (--reading.fieldsLeft < 0) throw new Error(`more than ${maxFields} fields`);
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const declared = fields.declared(number);
    if (!declared?.wireTypes.includes(wireType)) {
      const data = skipValue(reader, bytes, [number, wireType], depth);
      fields.dropped({ no: number, wireType, data });
      isWhole = false;
      continue;
    }
    if (wireType !== WireType.LengthDelimited) {
      skipValue(reader, bytes, [number, wireType], depth);
      kept.push(bytes.subarray(start, reader.pos));
      continue;
    }
    requireLength(bytes, reader.pos);
    const value = reader.bytes();
    const nested = declared.nested(value);
    if (nested === value) {
      kept.push(bytes.subarray(start, reader.pos));
    } else {
      kept.push(new BinaryWriter().tag(number, wireType).bytes(nested).finish());
      isWhole = false;
    }
  }
  return isWhole ? bytes : new Uint8Array(Buffer.concat(kept));
}

/**
 * Skips the value at the reader's position in `bytes`, and gives its bytes. It checks varints as Go does and the library does
 * not.
 */
function skipValue(
  reader: BinaryReader,
  bytes: Uint8Array,
  [number, wireType]: readonly [number: number, wireType: WireType],
  depth: number,
): Uint8Array {
  const start = reader.pos;
  if (wireType === WireType.Varint) readVarint(bytes, start);
  if (wireType === WireType.LengthDelimited) requireLength(bytes, start);
  if (wireType !== WireType.StartGroup) return reader.skip(wireType, number);
  if (depth <= 0) throw new Error(`groups are nested more than ${maxDepth} deep`);
  for (;;) {
    const inner = reader.tag();
    if (inner[1] !== WireType.EndGroup) {
      skipValue(reader, bytes, inner, depth - 1);
    } else if (inner[0] === number) {
      return bytes.subarray(start, reader.pos);
    } else {
      throw new Error('a group ends under the number of another one');
    }
  }
}

/** Checks a length, of which the library would read the lowest 32 bits only. */
function requireLength(bytes: Uint8Array, start: number): void {
  if (readVarint(bytes, start) > bytes.length) throw new Error('a length goes beyond the end');
}

function requirePacked(type: ScalarType, bytes: Uint8Array): void {
  if (wireTypeOf(type) !== WireType.Varint) return;
  for (const reader = new BinaryReader(bytes); reader.pos < bytes.length;) {
    readVarint(bytes, reader.pos);
    reader.skip(WireType.Varint);
  }
}

/** Reads a varint, exact up to 2^53. Throws for what Go refuses: more than ten bytes, or more than 64 bits. */
function readVarint(bytes: Uint8Array, start: number): number {
  let value = 0;
  for (let index = 0; index < 10; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) throw new Error('a varint goes beyond the end');
    if (index === 9 && byte > 1) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return value;
  }
  throw new Error('a varint has over 64 bits');
}

const knownFields = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();

function fieldsOf(schema: DescMessage): ReadonlyMap<number, DescField> {
  let fields = knownFields.get(schema);
  if (!fields) {
    fields = new Map(schema.fields.map((field) => [field.number, field]));
    knownFields.set(schema, fields);
  }
  return fields;
}

function wireTypesOf(field: DescField): readonly WireType[] {
  switch (field.fieldKind) {
    case 'message':
    case 'map':
      return [WireType.LengthDelimited];
    case 'scalar':
      return [wireTypeOf(field.scalar)];
    case 'enum':
      return [WireType.Varint];
    case 'list': {
      if (field.listKind === 'message') return [WireType.LengthDelimited];
      const one = field.listKind === 'enum' ? WireType.Varint : wireTypeOf(field.scalar);
      // packed, or one by one
      return [one, WireType.LengthDelimited];
    }
  }
}

function wireTypeOf(type: ScalarType): WireType {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bit32;
    case ScalarType.BOOL:
    case ScalarType.INT32:
    case ScalarType.INT64:
    case ScalarType.UINT32:
    case ScalarType.UINT64:
    case ScalarType.SINT32:
    case ScalarType.SINT64:
      return WireType.Varint;
  }
}
