const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

/** The values of one message by field number, each in the order of the wire: varints as bigint, the rest as bytes. */
export type Message = ReadonlyMap<number, readonly (bigint | Uint8Array)[]>;

/** Reads one message. Throws TypeError where the bytes are none. */
export function readMessage(bytes: Uint8Array): Message {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new TypeError('a protobuf message ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const [byte = 0] = take(1);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new TypeError('a protobuf integer is too long');
  };
  const readValue = (wireType: number): bigint | Uint8Array => {
    switch (wireType) {
      case varint:
        return readVarint();
      case fixed64:
        return take(8);
      case lengthDelimited:
        return take(Number(readVarint()));
      case fixed32:
        return take(4);
      default:
        throw new TypeError(`protobuf wire type ${wireType} is unknown`);
    }
  };
  while (at < bytes.length) {
    const key = Number(readVarint());
    const value = readValue(key & 7);
    const field = key >>> 3;
    const values = fields.get(field);
    if (values === undefined) fields.set(field, [value]);
    else values.push(value);
  }
  return fields;
}

/** The field's bytes; none where it is absent. The last one wins. */
export function bytesOf(message: Message, field: number): Uint8Array {
  const value = message.get(field)?.findLast((each) => typeof each !== 'bigint');
  return value ?? new Uint8Array();
}

/** The field as text. Throws TypeError where it is not UTF-8. */
export function textOf(message: Message, field: number): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytesOf(message, field));
}

/** The field as a signed 64-bit integer; 0 where it is absent. */
export function integerOf(message: Message, field: number): bigint {
  const value = message.get(field)?.findLast((each) => typeof each === 'bigint');
  return BigInt.asIntN(64, value ?? 0n);
}

/** The message in the field, merged where the wire has several; undefined where it is absent. */
export function messageOf(message: Message, field: number): Message | undefined {
  const parts = message.get(field)?.filter((each) => typeof each !== 'bigint');
  if (parts === undefined || parts.length === 0) return undefined;
  return readMessage(concatBytes(parts));
}

/** One field as the wire has it: bytes with their length, or a boolean. */
export function writeField(field: number, value: Uint8Array | boolean): Uint8Array {
  if (typeof value === 'boolean') {
    return Uint8Array.of(...writeVarint((field << 3) | varint), value ? 1 : 0);
  }
  const head = [...writeVarint((field << 3) | lengthDelimited), ...writeVarint(value.length)];
  return concatBytes([Uint8Array.from(head), value]);
}

function writeVarint(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

/** The parts joined, one after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
