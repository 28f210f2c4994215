import {
  type DescField,
  type DescMessage,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf';

/** Go refuses these bytes, or the signer must by a limit of its own; the message says why. */
export class GoRefusal extends Error {}

/** What {@link readAsGo} keeps of a field that its message does not have. */
type UnknownField = { readonly no: number; readonly wireType: number; readonly data: Uint8Array };

/**
 * Reads a message by the rules of Go's `proto.Unmarshal`, written from them a second time, apart from the library that the
 * product reads with, and by the signer's own limits: tags of at most five bytes, 4,096 fields, one value in an entry of a
 * map. Only the table of fields is shared. What it gives has the library's form, for what messages hold:
 * singular fields, lists, maps; unknown fields in `$unknown`, but for those inside of lists and maps.
 */
export function readAsGo<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  const message = emptyMessage(schema);
  readInto(schema, message, new Cursor(bytes, { fields: 0 }));
  return message as MessageShape<Desc>;
}

type Plain = Record<string, unknown>;

const fixed32 = 5;
const fixed64 = 1;
const groupStart = 3;
const groupEnd = 4;

/** of a message with all that it holds */
type FieldCount = { fields: number };

class Cursor {
  readonly bytes: Uint8Array;
  readonly count: FieldCount;
  at = 0;

  constructor(bytes: Uint8Array, count: FieldCount) {
    this.bytes = bytes;
    this.count = count;
  }

  /** The fields of a message, or of what is packed, within this one. */
  inner(): Cursor {
    return new Cursor(this.delimited(), this.count);
  }

  /** As {@link Cursor.tag}, of a field that counts. */
  field(): { readonly no: number; readonly wireType: number } {
    if (++this.count.fields > 4096) throw new GoRefusal('over 4,096 fields');
    return this.tag();
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  /** 64 bits: at most ten bytes, the tenth 0 or 1. */
  varint(): bigint {
    let value = 0n;
    for (let index = 0; index < 10; index++) {
      const byte = this.take(1)[0] ?? 0;
      if (index === 9 && byte > 1) throw new GoRefusal('a varint of over 64 bits');
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return value;
    }
    throw new GoRefusal('a varint of over ten bytes');
  }

  tag(): { readonly no: number; readonly wireType: number } {
    const start = this.at;
    const tag = this.varint();
    if (this.at - start > 5) throw new GoRefusal('a tag of over five bytes');
    const no = tag >> 3n;
    if (no < 1n || no > 2n ** 29n - 1n) throw new GoRefusal('no number of a field');
    return { no: Number(no), wireType: Number(tag & 7n) };
  }

  take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new GoRefusal('the end comes too early');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  delimited(): Uint8Array {
    const length = this.varint();
    if (length > BigInt(this.bytes.length)) throw new GoRefusal('the end comes too early');
    return this.take(Number(length));
  }

  /** The bytes of a field's value, whatever it is. */
  value(no: number, wireType: number): Uint8Array {
    const start = this.at;
    if (wireType === 0) this.varint();
    else if (wireType === 2) this.delimited();
    else if (wireType === fixed32) this.take(4);
    else if (wireType === fixed64) this.take(8);
    else if (wireType === groupStart) {
      for (;;) {
        const inner = this.tag();
        if (inner.wireType === groupEnd) {
          if (inner.no !== no) throw new GoRefusal('a group ends under another number');
          break;
        }
        this.value(inner.no, inner.wireType);
      }
    } else throw new GoRefusal('a wire type that there is not');
    return this.bytes.subarray(start, this.at);
  }
}

function emptyMessage(schema: DescMessage): Plain {
  return Object.fromEntries(
    schema.fields.flatMap((field): [string, unknown][] => {
      if (field.fieldKind === 'list') return [[field.localName, []]];
      if (field.fieldKind === 'map') return [[field.localName, {}]];
      if (field.fieldKind === 'message') return [];
      return [[field.localName, zeroOf(scalarOf(field))]];
    }),
  );
}

function scalarOf(field: DescField): ScalarType {
  if (field.scalar === undefined) throw new Error(`${field.name}: this reader knows no such field`);
  return field.scalar;
}

function zeroOf(type: ScalarType): unknown {
  if (type === ScalarType.STRING) return '';
  if (type === ScalarType.BYTES) return new Uint8Array();
  if (type === ScalarType.BOOL) return false;
  return toNumber(type, 0n);
}

function toNumber(type: ScalarType, varint: bigint): number | bigint {
  if (type === ScalarType.INT64) return BigInt.asIntN(64, varint);
  if (type === ScalarType.UINT64) return varint;
  if (type === ScalarType.INT32) return Number(BigInt.asIntN(32, varint));
  if (type === ScalarType.UINT32) return Number(BigInt.asUintN(32, varint));
  throw new Error(`this reader knows no scalar ${type}`);
}

const isText = (type: ScalarType): boolean =>
  type === ScalarType.STRING || type === ScalarType.BYTES;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readScalar(type: ScalarType, cursor: Cursor): unknown {
  if (type === ScalarType.STRING) return readText(cursor.delimited());
  if (type === ScalarType.BYTES) return Uint8Array.from(cursor.delimited());
  if (type === ScalarType.BOOL) return cursor.varint() !== 0n;
  return toNumber(type, cursor.varint());
}

function readText(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new GoRefusal('text that is no UTF-8');
  }
}

function readInto(schema: DescMessage, message: Plain, cursor: Cursor, keeps = true): void {
  while (!cursor.isAtEnd) {
    const { no, wireType } = cursor.field();
    const field = schema.fields.find(({ number }) => number === no);
    if (field && readField(field, wireType, message, cursor, keeps)) continue;
    const data = cursor.value(no, wireType);
    if (!keeps) continue;
    const unknown = (message['$unknown'] ??= []) as UnknownField[];
    unknown.push({ no, wireType, data });
  }
}

/** false for a value of another wire type, which makes the field an unknown one. */
function readField(
  field: DescField,
  wireType: number,
  message: Plain,
  cursor: Cursor,
  keeps: boolean,
): boolean {
  const name = field.localName;
  const isDelimited = wireType === 2;
  if (field.fieldKind === 'map') {
    if (!isDelimited) return false;
    readEntry(field, message[name] as Plain, cursor.inner());
    return true;
  }
  if (field.message) {
    if (!isDelimited) return false;
    const inner = cursor.inner();
    const isList = field.fieldKind === 'list';
    // a message that is given twice is one that is given in two parts
    const holder = isList ? undefined : (message[name] as Plain | undefined);
    const value = holder ?? emptyMessage(field.message);
    readInto(field.message, value, inner, keeps && !isList);
    if (isList) (message[name] as unknown[]).push(value);
    else message[name] = value;
    return true;
  }
  const type = scalarOf(field);
  if (field.fieldKind !== 'list') {
    if (wireType !== (isText(type) ? 2 : 0)) return false;
    message[name] = readScalar(type, cursor);
    return true;
  }
  const list = message[name] as unknown[];
  if (isText(type) ? isDelimited : wireType === 0) {
    list.push(readScalar(type, cursor));
    return true;
  }
  if (isText(type) || !isDelimited) return false;
  for (const packed = cursor.inner(); !packed.isAtEnd;) {
    list.push(readScalar(type, packed));
  }
  return true;
}

function readEntry(
  field: DescField & { readonly fieldKind: 'map' },
  map: Plain,
  cursor: Cursor,
): void {
  let key = zeroOf(field.mapKey);
  let hasValue = false;
  let value: unknown = field.message ? emptyMessage(field.message) : zeroOf(scalarOf(field));
  while (!cursor.isAtEnd) {
    const { no, wireType } = cursor.field();
    if (no === 1 && wireType === (isText(field.mapKey) ? 2 : 0)) {
      key = readScalar(field.mapKey, cursor);
    } else if (no === 2 && field.message && wireType === 2) {
      if (hasValue) throw new GoRefusal('two values in an entry of a map');
      hasValue = true;
      readInto(field.message, value as Plain, cursor.inner(), false);
    } else if (no === 2 && !field.message && wireType === (isText(scalarOf(field)) ? 2 : 0)) {
      value = readScalar(scalarOf(field), cursor);
    } else {
      cursor.value(no, wireType);
    }
  }
  map[String(key)] = value;
}

/** How many bytes the message takes, by the rules that it is written by: fields that are zero are left out, lists of numbers packed. */
export function sizeOf(schema: DescMessage, message: object): number {
  const given = message as Plain;
  const unknown = (given['$unknown'] ?? []) as UnknownField[];
  return (
    sum(schema.fields.map((field) => sizeOfField(field, given[field.localName]))) +
    sum(unknown.map(({ no, data }) => sizeOfTag(no) + data.length))
  );
}

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

function sizeOfVarint(value: bigint): number {
  let size = 1;
  for (let rest = BigInt.asUintN(64, value) >> 7n; rest > 0n; rest >>= 7n) size += 1;
  return size;
}

const sizeOfTag = (no: number): number => sizeOfVarint(BigInt(no) << 3n);
const delimited = (size: number): number => sizeOfVarint(BigInt(size)) + size;

function sizeOfScalar(type: ScalarType, value: unknown): number {
  if (type === ScalarType.STRING) return delimited(Buffer.byteLength(value as string));
  if (type === ScalarType.BYTES) return delimited((value as Uint8Array).length);
  return sizeOfVarint(BigInt(value as number | bigint | boolean));
}

function sizeOfField(field: DescField, value: unknown): number {
  const tag = sizeOfTag(field.number);
  if (field.fieldKind === 'map') {
    return sum(
      Object.entries(value as Plain).map(([key, item]) => {
        const keySize = 1 + sizeOfScalar(field.mapKey, isText(field.mapKey) ? key : BigInt(key));
        const itemSize = field.message
          ? delimited(sizeOf(field.message, item as object))
          : sizeOfScalar(scalarOf(field), item);
        return tag + delimited(keySize + 1 + itemSize);
      }),
    );
  }
  const { message } = field;
  if (message) {
    const items = field.fieldKind === 'list' ? (value as object[]) : [value as object | undefined];
    return sum(items.map((item) => (item ? tag + delimited(sizeOf(message, item)) : 0)));
  }
  const type = scalarOf(field);
  if (field.fieldKind === 'list') {
    const sizes = (value as unknown[]).map((item) => sizeOfScalar(type, item));
    if (isText(type)) return sum(sizes.map((size) => tag + size));
    return sizes.length === 0 ? 0 : tag + delimited(sum(sizes));
  }
  const isZero = isText(type) ? (value as string | Uint8Array).length === 0 : !value;
  return isZero ? 0 : tag + sizeOfScalar(type, value);
}
