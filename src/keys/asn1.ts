import { type AsnType, fromBER } from 'asn1js';

/** Reads bytes that are exactly one ASN.1 value; undefined when they are not. */
export function readAsn1(bytes: Uint8Array): AsnType | undefined {
  try {
    const { offset, result } = fromBER(Uint8Array.from(bytes));
    return offset === bytes.length ? result : undefined;
  } catch {
    // asn1js throws for some malformed values, such as times, and reports others
    return undefined;
  }
}
