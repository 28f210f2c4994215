import { secp256k1 } from '@noble/curves/secp256k1';
import { ProviderError } from '../../src/keys/provider.ts';
import { type KeyAttributes, secp256k1Params } from './key-attributes.ts';

const otherCurves: Readonly<Record<string, string>> = {
  '06082a8648ce3d030107': 'P-256 (secp256r1)',
  '06052b81040022': 'P-384 (secp384r1)',
  '06052b81040023': 'P-521 (secp521r1)',
  '06092b2403030208010107': 'brainpoolP256r1',
};

const ecKeyType = 0x03;
const otherKeyTypes: Readonly<Record<number, string>> = {
  0x00: 'an RSA key',
  0x01: 'a DSA key',
  0x40: 'an Edwards-curve key',
};

/**
 * The public key of a secp256k1 key that is fit to pay with, as an uncompressed SEC1 point (65 bytes).
 * Throws `KEY_UNSUITABLE` saying what was found and what to do.
 */
export function readPublicKey(
  key: KeyAttributes,
  options: { readonly keyRef: string; readonly allowExtractable: boolean },
): Uint8Array {
  const refuse = (found: string, remedy: string): never => {
    throw new ProviderError('KEY_UNSUITABLE', `${options.keyRef}: ${found}; ${remedy}`);
  };
  const makeAnother = 'make a secp256k1 key (keys new) and name that one';
  if (key.keyType !== ecKeyType) {
    const found = key.keyType === undefined ? undefined : otherKeyTypes[key.keyType];
    return refuse(`the key is ${found ?? 'not an EC key'}`, makeAnother);
  }
  if (key.ecParams === undefined) {
    return refuse('the token does not tell the curve of the key (CKA_EC_PARAMS)', makeAnother);
  }
  if (!secp256k1Params.equals(key.ecParams)) {
    const params = Buffer.from(key.ecParams).toString('hex');
    const found = otherCurves[params] ?? `another one (CKA_EC_PARAMS ${params.slice(0, 64)})`;
    return refuse(`the key’s curve is ${found}, and Ethereum needs secp256k1`, makeAnother);
  }
  if (key.sign === false) {
    return refuse('the key may not sign (CKA_SIGN is false)', 'allow it, or use a signing key');
  }
  if (key.alwaysAuthenticate === true) {
    return refuse(
      'the key asks for the PIN at every use (CKA_ALWAYS_AUTHENTICATE)',
      'use a key without it',
    );
  }
  if (!options.allowExtractable && (key.extractable !== false || key.sensitive !== true)) {
    const found = key.extractable !== false ? 'can leave the token' : 'can be read from the token';
    return refuse(
      `the private key ${found} (CKA_EXTRACTABLE ${key.extractable}, CKA_SENSITIVE ${key.sensitive})`,
      'use one made on the token, or set allowExtractable: true if you accept that it can be stolen',
    );
  }
  if (key.ecPoint === undefined) {
    return refuse(
      'no public key belongs to it: no public key object has its CKA_ID, and the private one has no CKA_EC_POINT',
      'store the public key on the token with the same CKA_ID',
    );
  }
  try {
    return decodePoint(key.ecPoint);
  } catch {
    return refuse('its CKA_EC_POINT is not a point of secp256k1', 'look at the public key object');
  }
}

/**
 * Decodes CKA_EC_POINT: a SEC1 point, compressed or not, as it is or inside a DER OCTET STRING (PKCS#11 asks for
 * the latter, devices do both). The four forms differ in length, so none can be taken for another.
 */
function decodePoint(value: Uint8Array): Uint8Array {
  const isWrapped =
    (value.length === 67 || value.length === 35) &&
    value[0] === 0x04 &&
    value[1] === value.length - 2;
  const point = isWrapped ? value.subarray(2) : value;
  return secp256k1.ProjectivePoint.fromHex(point).toRawBytes(false);
}
