/** Hex text, blanks ignored, to bytes. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** Tag, length in as few bytes as DER allows, content. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const value = concat(...content);
  const length =
    value.length < 0x80
      ? [value.length]
      : [0x84, ...Buffer.from(value.length.toString(16).padStart(8, '0'), 'hex')];
  return concat(Uint8Array.of(tag, ...length), value);
}

/** A DER INTEGER of a positive number, written from the text of X.690 8.3 and apart from the product's code. */
export function derInteger(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn));
  if ((bytes[0] ?? 0x80) >= 0x80) bytes.unshift(0);
  return tlv(0x02, Uint8Array.from(bytes));
}

/** SEQUENCE { INTEGER r, INTEGER s } */
export function derSignature(r: bigint, s: bigint): Uint8Array {
  return tlv(0x30, derInteger(r), derInteger(s));
}
