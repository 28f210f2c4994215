import { secp256k1 } from '@noble/curves/secp256k1';
import * as asn1js from 'asn1js';
import { readAsn1 } from './asn1.ts';
import { ProviderError } from './provider.ts';

/** id-ecPublicKey, RFC 5480 section 2.1.1. */
const ecPublicKeyOid = '1.2.840.10045.2.1';
/** secp256k1, SEC 2 section A.2.1. */
const secp256k1Oid = '1.3.132.0.10';

/** The longest SubjectPublicKeyInfo that is parsed; one of an RSA-4096 key, which is refused by name, has 550 bytes. */
const maxBytes = 4096;

/**
 * Reads a secp256k1 public key from a DER SubjectPublicKeyInfo (RFC 5480), as AWS KMS and Google Cloud KMS return it.
 * Only the one DER encoding of an uncompressed point on the curve is taken, so two different inputs never give the same key.
 *
 * @returns the uncompressed SEC1 point 0x04 ‖ x ‖ y, 65 bytes.
 * @throws ProviderError `KEY_UNSUITABLE` for another algorithm or curve, an encoding that is not DER, or no point of the curve.
 */
export function parseSecp256k1PublicKey(spkiDer: Uint8Array): Uint8Array {
  const { algorithm, curve, point } = readFields(spkiDer);
  if (algorithm !== ecPublicKeyOid) {
    throw unsuitable(`its algorithm is ${algorithm}, expected ${ecPublicKeyOid} (elliptic curve)`);
  }
  if (curve !== secp256k1Oid) {
    throw unsuitable(`its curve is ${curve ?? 'not named'}, expected ${secp256k1Oid} (secp256k1)`);
  }
  if (point.length !== 65 || point[0] !== 4) {
    throw unsuitable(`its point has ${point.length} bytes, expected 65 that start with 0x04`);
  }
  if (Buffer.compare(encode(point), spkiDer) !== 0) throw unsuitable('it is not encoded as DER');
  try {
    secp256k1.ProjectivePoint.fromHex(point);
  } catch (cause) {
    throw unsuitable('its point is not on the curve', cause);
  }
  return point;
}

function readFields(spkiDer: Uint8Array): {
  algorithm: string;
  curve: string | undefined;
  point: Uint8Array;
} {
  if (spkiDer.length > maxBytes) {
    throw unsuitable(`it has ${spkiDer.length} bytes, expected at most ${maxBytes}`);
  }
  const result = readAsn1(spkiDer);
  if (!result) throw unsuitable('it is not one ASN.1 value from the first byte to the last');
  const [identifier, bits] = elementsOf(result);
  const [algorithm, curve] = elementsOf(identifier);
  if (!(algorithm instanceof asn1js.ObjectIdentifier) || !(bits instanceof asn1js.BitString)) {
    throw unsuitable('it is not a SubjectPublicKeyInfo');
  }
  return {
    algorithm: algorithm.getValue(),
    curve: curve instanceof asn1js.ObjectIdentifier ? curve.getValue() : undefined,
    point: Uint8Array.from(bits.valueBlock.valueHexView),
  };
}

function elementsOf(block: unknown): readonly unknown[] {
  return block instanceof asn1js.Sequence ? block.valueBlock.value : [];
}

function encode(point: Uint8Array): Uint8Array {
  const spki = new asn1js.Sequence({
    value: [
      new asn1js.Sequence({
        value: [
          new asn1js.ObjectIdentifier({ value: ecPublicKeyOid }),
          new asn1js.ObjectIdentifier({ value: secp256k1Oid }),
        ],
      }),
      new asn1js.BitString({ valueHex: Uint8Array.from(point) }),
    ],
  });
  return new Uint8Array(spki.toBER());
}

function unsuitable(reason: string, cause?: unknown): ProviderError {
  return new ProviderError(
    'KEY_UNSUITABLE',
    `the device's public key can't be used: ${reason}; configure a secp256k1 signing key`,
    { cause },
  );
}
