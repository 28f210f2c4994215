import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { readPublicKey } from '../../../plugins/pkcs11/ec-key.ts';
import { type KeyAttributes, secp256k1Params } from '../../../plugins/pkcs11/key-attributes.ts';
import { ProviderError } from '../../../src/keys/provider.ts';

const point = secp256k1.ProjectivePoint.BASE.multiply(42n);
const uncompressed = point.toRawBytes(false);
const compressed = point.toRawBytes(true);
const options = { keyRef: 'pkcs11:token=t;object=k', allowExtractable: false };

const good: KeyAttributes = {
  label: 'k',
  id: '01',
  keyType: 3,
  ecParams: secp256k1Params,
  ecPoint: Uint8Array.of(0x04, 0x41, ...uncompressed),
  sign: true,
  sensitive: true,
  alwaysSensitive: true,
  extractable: false,
  neverExtractable: true,
  local: true,
  alwaysAuthenticate: false,
};

describe('readPublicKey', () => {
  it.each([
    { form: 'DER-wrapped', ecPoint: good.ecPoint },
    { form: 'raw', ecPoint: uncompressed },
    { form: 'compressed', ecPoint: compressed },
    { form: 'compressed and DER-wrapped', ecPoint: Uint8Array.of(0x04, 0x21, ...compressed) },
  ])('reads a $form point', ({ ecPoint }) => {
    expect(readPublicKey({ ...good, ecPoint }, options)).toEqual(uncompressed);
  });

  const offCurve = Uint8Array.from(uncompressed);
  offCurve[64] = (offCurve[64] ?? 0) ^ 1;
  it.each([
    {
      what: 'a point off the curve',
      change: { ecPoint: offCurve },
      found: /not a point of secp256k1/,
    },
    { what: 'an empty point', change: { ecPoint: new Uint8Array() }, found: /not a point/ },
    { what: 'no point', change: { ecPoint: undefined }, found: /no public key belongs to it/ },
    { what: 'no curve', change: { ecParams: undefined }, found: /does not tell the curve/ },
    {
      what: 'an unknown curve',
      change: { ecParams: Uint8Array.of(6, 1, 42) },
      found: /curve is another one \(CKA_EC_PARAMS 06012a\)/,
    },
    { what: 'an Edwards key', change: { keyType: 0x40 }, found: /the key is an Edwards-curve key/ },
    { what: 'a key that may not sign', change: { sign: false }, found: /CKA_SIGN is false/ },
    { what: 'a readable key', change: { sensitive: false }, found: /can be read from the token/ },
    {
      what: 'a key of which the token does not say whether it is extractable',
      change: { extractable: undefined },
      found: /can leave the token \(CKA_EXTRACTABLE undefined/,
    },
    {
      what: 'a key that wants the PIN at every use',
      change: { alwaysAuthenticate: true },
      found: /asks for the PIN at every use/,
    },
  ])('refuses $what', ({ change, found }) => {
    const read = () => readPublicKey({ ...good, ...change }, options);
    expect(read).toThrow(ProviderError);
    expect(read).toThrow(expect.objectContaining({ code: 'KEY_UNSUITABLE' }));
    expect(read).toThrow(found);
  });
});
