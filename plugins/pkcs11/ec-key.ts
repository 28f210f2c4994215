import { createHash } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1';
import { ProviderError } from '../../src/keys/provider.ts';
import { toEthereumSignature } from '../../src/keys/signature.ts';
import { type KeyAttributes, secp256k1Params } from './key-attributes.ts';

const otherCurves: Readonly<Record<string, string>> = {
  '06082a8648ce3d030107': 'P-256 (secp256r1)',
  '06052b81040022': 'P-384 (secp384r1)',
  '06052b81040023': 'P-521 (secp521r1)',
  '06092b2403030208010107': 'brainpoolP256r1',
};

/** The object identifier, and the curve's name as a PrintableString, which PKCS#11 3.0 allows in its place. */
const secp256k1Names = [secp256k1Params.toString('hex'), '1309736563703235366b31'];

const ecKeyType = 0x03;
const otherKeyTypes: Readonly<Record<number, string>> = {
  0x00: 'an RSA key',
  0x01: 'a DSA key',
  0x40: 'an Edwards-curve key',
};

/**
 * The public key of a secp256k1 key that is fit to pay with, as an uncompressed SEC1 point (65 bytes). Where the token has
 * several, `known` is taken, the one read before, and without it the one that `prove` finds: it gives r ‖ s of the key over
 * {@link proofDigest}. Throws `KEY_UNSUITABLE` and `KEY_AMBIGUOUS`, saying what was found and what to do.
 */
export async function readPublicKey(
  key: KeyAttributes,
  options: {
    readonly keyRef: string;
    readonly allowExtractable: boolean;
    readonly known: Uint8Array | undefined;
    readonly prove: () => Promise<Uint8Array>;
  },
): Promise<Uint8Array> {
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
  const params = Buffer.from(key.ecParams).toString('hex');
  if (!secp256k1Names.includes(params)) {
    const found = otherCurves[params] ?? `another one (CKA_EC_PARAMS ${params.slice(0, 64)})`;
    return refuse(`the key's curve is ${found}, and Ethereum needs secp256k1`, makeAnother);
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
  if (key.ecPoints.length === 0) {
    return refuse(
      'no public key belongs to it: no public key object has its CKA_ID, and the private one has no CKA_EC_POINT',
      'store the public key on the token with the same CKA_ID',
    );
  }
  const [point, ...others] = distinctPoints(key.ecPoints);
  if (point === undefined) {
    return refuse('its CKA_EC_POINT is not a point of secp256k1', 'look at the public key object');
  }
  if (others.length === 0) return point;
  const candidates = [point, ...others];
  const own =
    options.known === undefined
      ? findSigner(candidates, await options.prove().catch(() => undefined))
      : candidates.find((candidate) => Buffer.compare(candidate, options.known ?? candidate) === 0);
  if (own !== undefined) return own;
  throw new ProviderError(
    'KEY_AMBIGUOUS',
    `${options.keyRef}: ${candidates.length} different public keys are stored for the private key, and none is proved to be its own; delete those that are not`,
  );
}

/** What a key signs to show which public key is its own: no payment's digest. */
export const proofDigest = Uint8Array.from(
  createHash('sha256').update('PKCS#11: which public key is mine?').digest(),
);

function findSigner(
  publicKeys: readonly Uint8Array[],
  signature: Uint8Array | undefined,
): Uint8Array | undefined {
  if (signature === undefined) return undefined;
  return publicKeys.find((publicKey) => {
    try {
      toEthereumSignature({ encoding: 'raw', bytes: signature }, proofDigest, publicKey);
      return true;
    } catch {
      return false;
    }
  });
}

/** Each point of secp256k1 once, in whatever encodings it is stored. */
function distinctPoints(ecPoints: readonly Uint8Array[]): Uint8Array[] {
  const points = new Map<string, Uint8Array>();
  for (const ecPoint of ecPoints) {
    try {
      const point = decodePoint(ecPoint);
      points.set(Buffer.from(point).toString('hex'), point);
    } catch {
      // a point of another curve, or a malformed one, is not this key's
    }
  }
  return [...points.values()];
}

/**
 * Decodes CKA_EC_POINT: a SEC1 point, compressed or not, as it is, inside a DER OCTET STRING (PKCS#11 asks for that) or
 * inside a DER BIT STRING; devices do all three. The six forms differ in length, so none can be taken for another.
 * Gives 65 bytes, uncompressed. Throws when it is none, or not on the curve.
 */
function decodePoint(value: Uint8Array): Uint8Array {
  return secp256k1.ProjectivePoint.fromHex(contentOf(value)).toRawBytes(false);
}

function contentOf(value: Uint8Array): Uint8Array {
  const { length } = value;
  if (value[1] !== length - 2) return value;
  if (value[0] === 0x04 && (length === 67 || length === 35)) return value.subarray(2);
  if (value[0] === 0x03 && value[2] === 0 && (length === 68 || length === 36)) {
    return value.subarray(3);
  }
  return value;
}
