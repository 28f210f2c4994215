import { type AsnType, fromBER } from 'asn1js';

/** The one ASN.1 value that these bytes are, from the first to the last; undefined when they are none. */
export function readAsn1(bytes: Uint8Array): AsnType | undefined {
  try {
    const { offset, result } = fromBER(Uint8Array.from(bytes));
    return offset === bytes.length ? result : undefined;
  } catch {
    // asn1js throws for some malformed values, such as times, and reports others
    return undefined;
  }
}
