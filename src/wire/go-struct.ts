import { decodeBase64 } from './base64.ts';
import type { JsonMember, JsonValue } from './json.ts';

/** A JSON value that Go could not store in the field's type; the message names the field. */
export class FieldTypeError extends Error {
  constructor(field: string, expected: string) {
    super(`field ${field}: expected ${expected}`);
  }
}

/** The members of an object; none for null. Throws {@link FieldTypeError} for anything else. */
export function readObject(value: JsonValue, field: string): readonly JsonMember[] {
  if (value.kind === 'null') return [];
  if (value.kind !== 'object') throw new FieldTypeError(field, 'an object');
  return value.members;
}

/** Go matches keys under simple case folding, in which K (U+212A) is k and ſ (U+017F) is s. */
function foldKey(key: string): string {
  return key.replaceAll('ſ', 's').toLowerCase();
}

/** A struct while it is read. */
export type Mutable<Struct> = { -readonly [Field in keyof Struct]: Struct[Field] };

type Read<Target> = (target: Target, value: JsonValue, field: string) => void;

/** How one field of a struct is read. `clear` is there for fields that Go can set to nil: null empties them. */
type FieldReader<Target> = {
  readonly read: Read<Target>;
  readonly clear?: (target: Target) => void;
};

/** A JSON Schema (draft 2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A field that is published in the JSON Schema too: `schema` is how clients should write it. */
export type DescribedField<Target> = FieldReader<Target> & { readonly schema: JsonSchema };

/** The JSON Schema of an object with these fields: null counts as absent, and other keys are ignored. */
export function describeStruct(
  fields: Readonly<Record<string, { readonly schema: JsonSchema }>>,
  rest: JsonSchema = {},
): JsonSchema {
  const properties = Object.entries(fields).map(([name, { schema }]) => [name, orNull(schema)]);
  return { type: 'object', ...rest, properties: Object.fromEntries(properties) as JsonSchema };
}

function orNull({ type, ...rest }: JsonSchema): JsonSchema {
  return { type: [type, 'null'].flat(), ...rest };
}

/** The field under another name, by which errors call it. */
export function named<Target>(path: string, field: DescribedField<Target>): DescribedField<Target> {
  return { ...field, read: (target, value) => field.read(target, value, path) };
}

/** A field of type `string`; `rest` is what its schema says beside the type. */
export function stringField<Target>(
  rest: JsonSchema,
  store: (target: Target, text: string) => void,
): DescribedField<Target> {
  return {
    schema: { type: 'string', ...rest },
    read: (target, value, field) => store(target, readString(value, field)),
  };
}

/** A field of type `[]byte`: null empties it. */
export function bytesField<Target>(
  rest: JsonSchema,
  store: (target: Target, bytes: Uint8Array) => void,
): DescribedField<Target> {
  return {
    schema: { type: 'string', contentEncoding: 'base64', ...rest },
    read: (target, value, field) => store(target, readBytes(value, field)),
    clear: (target) => store(target, new Uint8Array()),
  };
}

/** A field of type `int64`. */
export function int64Field<Target>(
  rest: JsonSchema,
  store: (target: Target, integer: bigint) => void,
): DescribedField<Target> {
  return {
    schema: { type: 'integer', format: 'int64', ...rest },
    read: (target, value, field) => store(target, readInteger(value, field, minInt64, maxInt64)),
  };
}

/** A field of type `json.Number`: what it stores is the number's text. */
export function numberTextField<Target>(
  rest: JsonSchema,
  store: (target: Target, text: string) => void,
): DescribedField<Target> {
  return {
    schema: { type: ['number', 'string'], pattern: jsonNumberPattern.source, ...rest },
    read: (target, value, field) => store(target, readNumberText(value, field)),
  };
}

/** Stores an object's members into a struct. */
export type StructReader<Target> = (target: Target, members: readonly JsonMember[]) => void;

/**
 * Makes a reader that stores an object's members as Go's `encoding/json` stores them into a struct: keys match whatever their
 * case, the last of several wins, null leaves a field as it is unless it can be cleared, unknown keys are ignored.
 */
export function createStructReader<Target>(
  fields: Readonly<Record<string, FieldReader<Target> | Read<Target>>>,
): StructReader<Target> {
  const readers = new Map(
    Object.entries(fields).map(
      ([name, field]): [string, FieldReader<Target> & { name: string }] => [
        name,
        typeof field === 'function' ? { name, read: field } : { name, ...field },
      ],
    ),
  );
  const readersOfFoldedKeys = new Map(
    Array.from(readers, ([name, reader]) => [foldKey(name), reader]),
  );
  return (target, members) => {
    for (const { key, value } of members) {
      const reader = readers.get(key) ?? readersOfFoldedKeys.get(foldKey(key));
      if (!reader) continue;
      if (value.kind === 'null') reader.clear?.(target);
      else reader.read(target, value, reader.name);
    }
  };
}

/** A string; throws {@link FieldTypeError} for anything else. */
export function readString(value: JsonValue, field: string): string {
  if (value.kind !== 'string') throw new FieldTypeError(field, 'a string');
  return value.value;
}

/** `[]byte`: standard base64, or an array of integers from 0 to 255. */
export function readBytes(value: JsonValue, field: string): Uint8Array {
  if (value.kind === 'string') {
    const bytes = decodeBase64(value.value);
    if (bytes) return bytes;
  }
  if (value.kind === 'array') {
    return Uint8Array.from(value.items, (item) => readByte(item, field));
  }
  throw new FieldTypeError(field, 'standard padded base64');
}

const bytePattern = /^(?:0|[1-9][0-9]{0,2})$/;

function readByte(value: JsonValue, field: string): number {
  if (value.kind === 'null') return 0;
  if (value.kind === 'number' && bytePattern.test(value.text) && Number(value.text) <= 255) {
    return Number(value.text);
  }
  throw new FieldTypeError(field, 'integers from 0 to 255');
}

const integerPattern = /^-?(?:0|[1-9][0-9]*)$/;
const unsignedPattern = /^(?:0|[1-9][0-9]*)$/;

/** An integer written without fraction, exponent or quotes, within bounds; read losslessly. */
export function readInteger(
  value: JsonValue,
  field: string,
  minimum: bigint,
  maximum: bigint,
): bigint {
  const pattern = minimum < 0n ? integerPattern : unsignedPattern;
  if (value.kind === 'number' && value.text.length <= 20 && pattern.test(value.text)) {
    const integer = BigInt(value.text);
    if (integer >= minimum && integer <= maximum) return integer;
  }
  throw new FieldTypeError(field, `an integer from ${minimum.toString()} to ${maximum.toString()}`);
}

export const minInt64 = -(2n ** 63n);
export const maxInt64 = 2n ** 63n - 1n;
export const maxUint32 = 2n ** 32n - 1n;
export const maxUint64 = 2n ** 64n - 1n;

const jsonNumberPattern = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** Go's `json.Number`: the text of a number, bare or quoted. */
export function readNumberText(value: JsonValue, field: string): string {
  if (value.kind === 'number') return value.text;
  if (value.kind === 'string' && jsonNumberPattern.test(value.value)) return value.value;
  throw new FieldTypeError(field, 'a number');
}
