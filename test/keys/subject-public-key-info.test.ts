import { generateKeyPairSync } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { parseSecp256k1PublicKey } from '../../src/keys/subject-public-key-info.ts';

const point = secp256k1.getPublicKey(Uint8Array.from(Buffer.alloc(32, 7)), false);
const prefix = Buffer.from('3056301006072a8648ce3d020106052b8104000a034200', 'hex');
const spki = Uint8Array.from(Buffer.concat([prefix, point]));

/** The same bytes with one of them changed. */
function flipped(at: number, bits: number): Uint8Array {
  return spki.map((byte, index) => (index === at ? byte ^ bits : byte));
}

/** The same bytes with some of them replaced. */
function patched(at: number, bytes: readonly number[], remove = bytes.length): Uint8Array {
  return Uint8Array.from([...spki.slice(0, at), ...bytes, ...spki.slice(at + remove)]);
}

function spkiOf(namedCurve: string): Uint8Array {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve });
  return Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }));
}

/** The same key with a point that lacks its last byte. */
function shortened(): Uint8Array {
  return Uint8Array.from(
    Buffer.concat([
      Buffer.from('3055301006072a8648ce3d020106052b8104000a034100', 'hex'),
      point.subarray(0, 64),
    ]),
  );
}

describe('parseSecp256k1PublicKey', () => {
  it('gives the 65-byte point of a key', () => {
    expect(parseSecp256k1PublicKey(spki)).toEqual(point);
  });

  it('reads keys that OpenSSL has written', () => {
    const der = spkiOf('secp256k1');
    expect(parseSecp256k1PublicKey(der)).toEqual(der.slice(-65));
  });

  it.each(['prime256v1', 'secp384r1', 'brainpoolP256r1'])('refuses the curve %s', (curve) => {
    expect(() => parseSecp256k1PublicKey(spkiOf(curve))).toThrow(
      expect.objectContaining({
        code: 'KEY_UNSUITABLE',
        message: expect.stringContaining('(secp256k1)') as string,
      }),
    );
  });

  it('refuses an RSA key and names its algorithm', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const der = Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }));
    expect(() => parseSecp256k1PublicKey(der)).toThrow(
      expect.objectContaining({
        code: 'KEY_UNSUITABLE',
        message: expect.stringContaining('1.2.840.113549.1.1.1') as string,
      }),
    );
  });

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['no bytes', Uint8Array.of()],
    ['bytes that are no ASN.1', Uint8Array.from(Buffer.alloc(88, 0xff))],
    ['a value cut short', spki.slice(0, -1)],
    ['a byte after the end', Uint8Array.of(...spki, 0)],
    ['a length in the long form where the short one fits', patched(1, [0x81, 0x56], 1)],
    ['an indefinite length', Uint8Array.of(0x30, 0x80, ...spki.slice(2), 0, 0)],
    ['unused bits in the bit string', patched(22, [1])],
    [
      'a compressed point',
      Uint8Array.from(
        Buffer.concat([
          Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex'),
          secp256k1.ProjectivePoint.fromHex(point).toRawBytes(true),
        ]),
      ),
    ],
    ['a hybrid point', patched(23, [6])],
    ['a point off the curve', flipped(87, 1)],
    [
      'a point at infinity',
      Uint8Array.from(Buffer.from('3016301006072a8648ce3d020106052b8104000a03020000', 'hex')),
    ],
    ['a third element', Uint8Array.of(0x30, 0x58, ...spki.slice(2), 5, 0)],
    ['more than 4096 bytes', Uint8Array.from(Buffer.alloc(4097, 0x30))],
  ];
  it.each(malformed)('refuses %s', (_, der) => {
    expect(() => parseSecp256k1PublicKey(der)).toThrow(
      expect.objectContaining({ name: 'ProviderError', code: 'KEY_UNSUITABLE' }),
    );
  });

  it('refuses every change of a single byte before the point', () => {
    for (let at = 0; at < prefix.length; at += 1) {
      expect(() => parseSecp256k1PublicKey(flipped(at, 0x20))).toThrow(
        expect.objectContaining({ code: 'KEY_UNSUITABLE' }),
      );
    }
  });

  it.each([
    ['it has 4097 bytes, expected at most 4096', Uint8Array.from(Buffer.alloc(4097, 0x30))],
    [
      'it is not one ASN.1 value from the first byte to the last',
      Uint8Array.from(Buffer.alloc(4096, 0x30)),
    ],
    ['it is not a SubjectPublicKeyInfo', Uint8Array.of(5, 0)],
    ['it is not a SubjectPublicKeyInfo', Uint8Array.of(0x30, 0)],
    [
      'its curve is not named, expected 1.3.132.0.10 (secp256k1)',
      Uint8Array.from(
        Buffer.concat([Buffer.from('304f300b06072a8648ce3d02010500034000', 'hex'), point.slice(2)]),
      ),
    ],
    ['its point has 64 bytes, expected 65 that start with 0x04', shortened()],
    ['its point has 65 bytes, expected 65 that start with 0x04', patched(23, [6])],
    ['it is not encoded as DER', patched(1, [0x81, 0x56], 1)],
    ['its point is not on the curve', flipped(87, 1)],
  ])('says of what it refuses that %s', (reason, der) => {
    let thrown: unknown;
    try {
      parseSecp256k1PublicKey(der);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'KEY_UNSUITABLE',
      retryable: false,
      message: `the device's public key can't be used: ${reason}; configure a secp256k1 signing key`,
    });
    const hasCause = reason === 'its point is not on the curve';
    expect((thrown as Error).cause).toEqual(hasCause ? expect.any(Error) : undefined);
  });
});
