import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { recoverAddress } from 'viem';
import { publicKeyToAddress as addressByViem } from 'viem/utils';
import { expect, it } from 'vitest';
import {
  encodeDerSignature,
  parseDerSignature,
  parseRawSignature,
  publicKeyToAddress,
  toEthereumSignature,
  verifySignature,
} from '../../src/keys/signature.ts';
import { isSignerError } from '../../src/errors.ts';
import { parseSecp256k1PublicKey } from '../../src/keys/subject-public-key-info.ts';
import { toHex } from '../../src/pm/bytes.ts';
import { hex } from './der.ts';

/** Project Wycheproof's cases of secp256k1, under its licence, Apache 2.0; see the file's first lines. All bytes are hex. */
type Vectors = {
  /** ECDSA over SHA-256: cases by public key */
  readonly der: SignatureGroups;
  readonly raw: SignatureGroups;
  /** SubjectPublicKeyInfo */
  readonly publicKeys: readonly [
    id: number,
    spki: string,
    result: 'valid' | 'invalid' | 'acceptable',
    comment: string,
    flags: readonly string[],
  ][];
};

type SignatureGroups = readonly [publicKey: string, cases: readonly SignatureCase[]][];

type SignatureCase = readonly [
  id: string,
  message: string,
  signature: string,
  result: 'valid' | 'invalid',
  comment: string,
  flags: readonly string[],
];

const vectors = JSON.parse(
  readFileSync(new URL('wycheproof/secp256k1.json', import.meta.url), 'utf8'),
) as Vectors;

/** undefined where the work was refused by the error of that code; throws what is no such refusal. */
function unlessRefused<Result>(code: string, work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (isSignerError(error) && error.code === code) return undefined;
    throw error;
  }
}

/** Accepted though Wycheproof calls them invalid, and the other way round, with the reason. */
type Differences = Record<string, string[]>;

async function judge(
  encoding: 'der' | 'raw',
): Promise<{ accepted: number; refused: number; differences: Differences }> {
  let [accepted, refused] = [0, 0];
  const differences: Differences = {};
  for (const [key, cases] of vectors[encoding]) {
    const publicKey = hex(key);
    const address = publicKeyToAddress(publicKey);
    expect(address).toBe(addressByViem(toHex(publicKey)).toLowerCase());
    for (const [id, message, bytes, result, comment, flags] of cases) {
      const digest = Uint8Array.from(createHash('sha256').update(hex(message)).digest());
      const signature = unlessRefused('PROVIDER_REPLY_INVALID', () =>
        toEthereumSignature({ encoding, bytes: hex(bytes) }, digest, publicKey),
      );
      if (signature) {
        accepted += 1;
        expect(verifySignature(address, digest, signature), comment).toBe(true);
        // twenty times slower than all else
        if (accepted % 16 === 1) {
          const recovered = await recoverAddress({
            hash: toHex(digest),
            signature: toHex(signature),
          });
          expect(recovered.toLowerCase(), comment).toBe(address);
        }
        const { r, s } =
          encoding === 'der' ? parseDerSignature(hex(bytes)) : parseRawSignature(hex(bytes));
        if (encoding === 'der') expect(toHex(encodeDerSignature({ r, s }))).toBe(`0x${bytes}`);
      } else {
        refused += 1;
      }
      if ((signature !== undefined) !== (result === 'valid')) {
        const name = `${signature ? 'accepted' : 'refused'}: ${flags.join(', ')}`;
        (differences[name] ??= []).push(`${id} ${comment}`);
      }
    }
  }
  return { accepted, refused, differences };
}

/** r is x − n there, which Ethereum's v of 27 or 28 can't say: no digest's signature comes out so but by design of its maker. */
const beyondEthereum = {
  'refused: ArithmeticError': expect.arrayContaining([
    expect.stringMatching(/k\*G has a large x-coordinate/),
  ]) as string[],
  'refused: ValidSignature': [expect.stringMatching(/x = n \+ 2 is the smallest possible x/)],
};

it('takes and refuses DER signatures as Wycheproof does, and makes high s low', async () => {
  expect(await judge('der')).toEqual({
    accepted: 232,
    refused: 314,
    differences: beyondEthereum,
  });
});

it('takes and refuses raw signatures as Wycheproof does, but for halves that leave out leading zeros', async () => {
  // PKCS#11 leaves the width of r and s to the token: halves of one width that recover the key are its signature
  const narrow = [expect.stringMatching(/incorrect size of signature/)] as string[];
  const { accepted, refused, differences } = await judge('raw');
  expect({ accepted, refused }).toEqual({ accepted: 175, refused: 77 });
  expect(differences).toEqual({
    ...beyondEthereum,
    'accepted: SmallRandS, ArithmeticError, SignatureSize': Array(6).fill(narrow[0]),
    'accepted: ArithmeticError, SignatureSize': Array(4).fill(narrow[0]),
  });
});

it('takes public keys of the named curve, uncompressed and in their one DER encoding, and refuses all others', () => {
  const outcome: Record<string, Record<string, number>> = {};
  for (const [, spki, result, comment, flags] of vectors.publicKeys) {
    const point = unlessRefused('KEY_UNSUITABLE', () => parseSecp256k1PublicKey(hex(spki)));
    if (point) expect(toHex(point), comment).toBe(`0x${spki.slice(-130)}`);
    const counts = (outcome[`${point ? 'accepted' : 'refused'} ${result}`] ??= {});
    const name = result === 'acceptable' ? flags.join(', ') : 'cases';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  expect(outcome).toEqual({
    'accepted valid': { cases: 50 },
    'refused invalid': { cases: 48 },
    // each is another encoding of a key, or a curve that is spelt out
    'refused acceptable': {
      InvalidAsn: 222,
      'CompressedPublic, CompressedPoint': 1,
      'ModifiedCofactor, UnusedParam, UnnamedCurve': 1,
      'ModifiedCurveParameter, UnusedParam, UnnamedCurve': 1,
      'ModifiedGenerator, UnusedParam, UnnamedCurve': 2,
      'WrongOrder, UnusedParam, UnnamedCurve': 2,
    },
  });
});
