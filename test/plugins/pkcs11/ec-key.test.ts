import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { proofDigest, readPublicKey } from '../../../plugins/pkcs11/ec-key.ts';
import { type KeyAttributes, secp256k1Params } from '../../../plugins/pkcs11/key-attributes.ts';
import { ProviderError } from '../../../src/keys/provider.ts';

const point = secp256k1.ProjectivePoint.BASE.multiply(42n);
const uncompressed = point.toRawBytes(false);
const compressed = point.toRawBytes(true);
const options = {
  keyRef: 'pkcs11:token=t;object=k',
  allowExtractable: false,
  known: undefined,
  prove: () => Promise.reject(new Error('the key was asked to sign')),
};

const good: KeyAttributes = {
  label: 'k',
  id: '01',
  keyType: 3,
  ecParams: secp256k1Params,
  ecPoints: [Uint8Array.of(0x04, 0x41, ...uncompressed)],
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
    { form: 'DER-wrapped', ecPoint: Uint8Array.of(0x04, 0x41, ...uncompressed) },
    { form: 'raw', ecPoint: uncompressed },
    { form: 'compressed', ecPoint: compressed },
    { form: 'compressed and DER-wrapped', ecPoint: Uint8Array.of(0x04, 0x21, ...compressed) },
    { form: 'BIT STRING', ecPoint: Uint8Array.of(0x03, 0x42, 0, ...uncompressed) },
    { form: 'compressed BIT STRING', ecPoint: Uint8Array.of(0x03, 0x22, 0, ...compressed) },
  ])('reads a $form point', async ({ ecPoint }) => {
    expect(await readPublicKey({ ...good, ecPoints: [ecPoint] }, options)).toEqual(uncompressed);
  });

  it('takes a point that is stored in several encodings for one', async () => {
    const ecPoints = [uncompressed, compressed, Uint8Array.of(0x04, 0x41, ...uncompressed)];
    expect(await readPublicKey({ ...good, ecPoints }, options)).toEqual(uncompressed);
  });

  it('knows the curve by its name, too', async () => {
    const ecParams = Uint8Array.of(0x13, 9, ...Buffer.from('secp256k1'));
    expect(await readPublicKey({ ...good, ecParams }, options)).toEqual(uncompressed);
  });

  const ecPoints = [secp256k1.ProjectivePoint.BASE.toRawBytes(true), compressed];

  it('takes, of two points, the one that a signature proves', async () => {
    const prove = () =>
      Promise.resolve(secp256k1.sign(proofDigest, 42n, { lowS: false }).toCompactRawBytes());
    const read = readPublicKey({ ...good, ecPoints }, { ...options, prove });
    expect(await read).toEqual(uncompressed);
  });

  it('takes, of two points, the one that was read before, and lets nothing be signed', async () => {
    const read = readPublicKey({ ...good, ecPoints }, { ...options, known: uncompressed });
    expect(await read).toEqual(uncompressed);
  });

  it.each([
    { what: 'the key does not sign', prove: options.prove },
    {
      what: 'the signature is a third key’s',
      prove: () => Promise.resolve(secp256k1.sign(proofDigest, 43n).toCompactRawBytes()),
    },
  ])('refuses two points when $what', async ({ prove }) => {
    const read = readPublicKey({ ...good, ecPoints }, { ...options, prove });
    await expect(read).rejects.toMatchObject({ code: 'KEY_AMBIGUOUS' });
    await expect(read).rejects.toThrow(/2 different public keys are stored .* delete those/);
  });

  const offCurve = Uint8Array.from(uncompressed);
  offCurve[64] = (offCurve[64] ?? 0) ^ 1;
  it.each([
    {
      what: 'a point off the curve',
      change: { ecPoints: [offCurve] },
      found: /not a point of secp256k1/,
    },
    { what: 'an empty point', change: { ecPoints: [new Uint8Array()] }, found: /not a point/ },
    { what: 'no point', change: { ecPoints: [] }, found: /no public key belongs to it/ },
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
  ])('refuses $what', async ({ change, found }) => {
    const read = readPublicKey({ ...good, ...change }, options);
    await expect(read).rejects.toBeInstanceOf(ProviderError);
    await expect(read).rejects.toMatchObject({ code: 'KEY_UNSUITABLE' });
    await expect(read).rejects.toThrow(found);
  });
});
