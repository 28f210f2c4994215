import { secp256k1 } from '@noble/curves/secp256k1';

/** The same signature with the high one of the two possible values of s; DER in, DER out. */
export function withHighS(der: Uint8Array): Uint8Array {
  const { r, s } = secp256k1.Signature.fromDER(der).normalizeS();
  return new secp256k1.Signature(r, secp256k1.CURVE.n - s).toDERRawBytes();
}
