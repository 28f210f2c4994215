import {
  createDecipheriv,
  createECDH,
  createHash,
  createPublicKey,
  scryptSync,
  pbkdf2Sync,
  verify,
} from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1';
import { keccak256 } from 'viem';
import { readPublicKey } from '../../../../plugins/pkcs11/ec-key.ts';
import { parsePkcs11Uri } from '../../../../plugins/pkcs11/uri.ts';
import {
  decryptKeystore,
  describeKdf,
  parseKeystore,
} from '../../../../plugins/local-keystore/web3-secret-storage.ts';
import { ProviderError, Secret } from '../../../../src/keys/provider.ts';
import {
  encodeDerSignature,
  parseDerSignature,
  parseRawSignature,
  publicKeyToAddress,
  toEthereumSignature,
  verifySignature,
} from '../../../../src/keys/signature.ts';
import { parseSecp256k1PublicKey } from '../../../../src/keys/subject-public-key-info.ts';
import { createSealVerifier } from '../../../../src/session/seal-verifier.ts';
import { encodeSealHeader, parseDelegatedSeal } from '../../../../src/session/delegated-seal.ts';
import { parseAddress, toHex } from '../../../../src/pm/bytes.ts';
import { derSignature } from '../../../keys/der.ts';
import {
  type Target,
  attempt,
  attemptLater,
  expectThat,
  requireSilence,
  requireSilent,
  secret,
  textOf,
} from '../target.ts';

const privateKey = Uint8Array.from(createHash('sha256').update('fuzzed key').digest());
const ecdh = createECDH('secp256k1');
ecdh.setPrivateKey(privateKey);
const point = Uint8Array.from(ecdh.getPublicKey());
const compressed = Uint8Array.from(ecdh.getPublicKey(null, 'compressed'));
const address = publicKeyToAddress(point);
const message = Buffer.from('a message');
const digest = Uint8Array.from(createHash('sha256').update(message).digest());
const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits, 'hex'));
const concat = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(Buffer.concat(parts));
const spki = concat(hex('3056301006072a8648ce3d020106052b8104000a034200'), point);
const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
const order = secp256k1.CURVE.n;
const { r, s } = secp256k1.sign(digest, privateKey, { lowS: true });
const word = (value: bigint): Uint8Array => hex(value.toString(16).padStart(64, '0'));

const isInvalidReply = (error: unknown): boolean =>
  error instanceof ProviderError && error.code === 'PROVIDER_REPLY_INVALID';
const isUnsuitable = (error: unknown): boolean =>
  error instanceof ProviderError && error.code === 'KEY_UNSUITABLE';

const password = 'correct horse';
const salt = 'ab'.repeat(32);
const iv = '0123456789abcdef0123456789abcdef';

/** A file whose key derivation costs next to nothing. */
function keystore(
  kdf: 'scrypt' | 'pbkdf2',
  change: (file: Record<string, unknown>) => object = (file) => file,
): string {
  const params =
    kdf === 'scrypt'
      ? { dklen: 32, n: 2, r: 1, p: 1, salt }
      : { dklen: 32, c: 2, prf: 'hmac-sha256', salt };
  const derived = derive(kdf, params);
  const cipher = createDecipheriv('aes-128-ctr', derived.subarray(0, 16), Buffer.from(iv, 'hex'));
  const ciphertext = cipher.update(privateKey).toString('hex');
  const mac = macOf(derived, ciphertext);
  return JSON.stringify(
    change({
      address: address.slice(2),
      crypto: {
        cipher: 'aes-128-ctr',
        cipherparams: { iv },
        ciphertext,
        kdf,
        kdfparams: params,
        mac,
      },
      id: 'f00d',
      version: 3,
    }),
  );
}

type KdfParams = { salt: string; n?: number; r?: number; p?: number; c?: number };

function derive(kdf: string, { salt, n = 2, r = 1, p = 1, c = 1 }: KdfParams): Buffer {
  const bytes = Buffer.from(salt, 'hex');
  return kdf === 'pbkdf2'
    ? pbkdf2Sync(password, bytes, c, 32, 'sha256')
    : scryptSync(password, bytes, 32, { N: n, r, p, maxmem: 2 ** 26 });
}

const macOf = (derived: Buffer, ciphertext: string): string =>
  keccak256(concat(derived.subarray(16), hex(ciphertext))).slice(2);

const sender = parseAddress(address);
if (!sender) throw new Error('no address');
const verifySeal = createSealVerifier({
  sender,
  domain: { chainId: 42_161, broker: sender },
  clockSkewMs: 0,
  now: () => 1_795_000_000_000_000_000n,
});
const seal = encodeSealHeader(
  { instanceKey: new Uint8Array(32).fill(7), notBefore: 1_790_000_000n, notAfter: 1_800_000_000n },
  concat(word(r), word(s), Uint8Array.of(27)),
);

export const keyTargets: readonly Target[] = [
  {
    name: 'der',
    share: 0.4,
    format: 'der',
    files: ['src/keys/signature.ts', 'src/keys/asn1.ts'],
    seeds: [derSignature(r, s), derSignature(r, order - s), derSignature(1n, order - 1n)],
    maxLength: 256,
    check(input) {
      const read = attempt(() => parseDerSignature(input), isInvalidReply);
      const openSsl = verify('sha256', message, { key: publicKey, dsaEncoding: 'der' }, input);
      const ours = attempt(
        () => toEthereumSignature({ encoding: 'der', bytes: input }, digest, point),
        isInvalidReply,
      );
      expectThat(
        openSsl === 'value' in ours,
        openSsl ? 'refused, yet OpenSSL takes it' : 'taken, yet OpenSSL refuses it',
      );
      if ('value' in read) {
        expectThat(
          Buffer.compare(encodeDerSignature(read.value), input) === 0,
          'two encodings of one signature',
        );
        expectThat(Buffer.compare(derSignature(read.value.r, read.value.s), input) === 0, 'no DER');
      }
      if ('value' in ours) {
        expectThat(
          verifySignature(address, digest, ours.value),
          'a signature that does not verify',
        );
        const recovered = secp256k1.Signature.fromCompact(ours.value.subarray(0, 64))
          .addRecoveryBit((ours.value[64] ?? 0) - 27)
          .recoverPublicKey(digest);
        expectThat(toHex(recovered.toRawBytes(false)) === toHex(point), 'another key is recovered');
      }
    },
  },
  {
    name: 'raw-signature',
    share: 0.3,
    format: 'bytes',
    files: ['src/keys/signature.ts'],
    seeds: [concat(word(r), word(s)), concat(word(r), word(order - s))],
    maxLength: 128,
    check(input) {
      attempt(() => parseRawSignature(input), isInvalidReply);
      const ours = attempt(
        () => toEthereumSignature({ encoding: 'raw', bytes: input }, digest, point),
        isInvalidReply,
      );
      const openSsl = verify(
        'sha256',
        message,
        { key: publicKey, dsaEncoding: 'ieee-p1363' },
        input,
      );
      if (input.length === 64) {
        expectThat(
          openSsl === 'value' in ours,
          openSsl ? 'refused, yet OpenSSL takes it' : 'taken, yet OpenSSL refuses it',
        );
      } else if ('value' in ours) {
        expectThat(input.length < 64 && input.length % 2 === 0, 'a signature of another length');
      }
    },
  },
  {
    name: 'spki',
    share: 0.3,
    format: 'der',
    files: ['src/keys/subject-public-key-info.ts', 'src/keys/asn1.ts'],
    seeds: [
      spki,
      concat(hex('3036301006072a8648ce3d020106052b8104000a032200'), compressed),
      hex(
        '3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
      ),
      hex(
        '302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      ),
    ],
    maxLength: 512,
    check(input) {
      const ours = attempt(() => parseSecp256k1PublicKey(input), isUnsuitable);
      const openSsl = attempt(
        () => createPublicKey({ key: Buffer.from(input), format: 'der', type: 'spki' }),
        (error) => error instanceof Error,
      );
      if ('value' in ours) {
        expectThat(ours.value.length === 65 && ours.value[0] === 4, 'no uncompressed point');
        expectThat('value' in openSsl, 'taken, yet OpenSSL refuses it');
        const jwk = openSsl.value.export({ format: 'jwk' });
        const xy = Buffer.concat(
          [jwk.x, jwk.y].map((part) => Buffer.from(part ?? '', 'base64url')),
        );
        expectThat(jwk.crv === 'secp256k1' && xy.length === 64, 'another curve');
        expectThat(toHex(ours.value.subarray(1)) === toHex(xy), 'another point than OpenSSL reads');
      } else if (
        'value' in openSsl &&
        openSsl.value.asymmetricKeyDetails?.namedCurve === 'secp256k1'
      ) {
        const der = openSsl.value.export({ format: 'der', type: 'spki' });
        expectThat(
          der.length !== 88 || Buffer.compare(der, input) !== 0,
          'refused, yet OpenSSL takes it and writes it so',
        );
      }
    },
  },
  {
    name: 'ec-point',
    format: 'bytes',
    files: ['plugins/pkcs11/ec-key.ts'],
    seeds: [
      point,
      compressed,
      concat(hex('0441'), point),
      concat(hex('0421'), compressed),
      concat(hex('034200'), point),
      concat(hex('032200'), compressed),
    ],
    maxLength: 200,
    async check(input) {
      const read = await attemptLater(
        () =>
          readPublicKey(
            {
              ...{
                label: 'k',
                id: '01',
                keyType: 3,
                sign: true,
                sensitive: true,
                extractable: false,
              },
              ...{
                alwaysSensitive: true,
                neverExtractable: true,
                local: true,
                alwaysAuthenticate: false,
              },
              ecParams: hex('06052b8104000a'),
              ecPoints: [input],
            },
            {
              keyRef: 'pkcs11:k',
              allowExtractable: false,
              known: undefined,
              prove: () => Promise.reject(new Error('no proof')),
            },
          ),
        isUnsuitable,
      );
      if ('refusal' in read) return;
      expectThat(read.value.length === 65, 'no uncompressed point');
      const found = attempt(
        () =>
          createPublicKey({
            key: Buffer.from(concat(spki.subarray(0, 23), read.value)),
            format: 'der',
            type: 'spki',
          }),
        (error) => error instanceof Error,
      );
      expectThat('value' in found, 'a point that OpenSSL does not find on the curve');
      expectThat(
        Buffer.from(input).includes(Buffer.from(read.value.subarray(1, 33))),
        'another point than is there',
      );
    },
  },
  {
    name: 'keystore',
    format: 'json',
    files: ['plugins/local-keystore/web3-secret-storage.ts'],
    seeds: [
      keystore('scrypt'),
      keystore('pbkdf2'),
      keystore('scrypt', ({ crypto, ...file }) => ({
        ...file,
        Crypto: crypto,
        address: secret,
        name: secret,
      })),
      secret,
    ],
    words: ['scrypt', 'pbkdf2', secret],
    async check(input) {
      const text = textOf(input);
      const read = attempt(() => parseKeystore(text, 'key.json'), isUnsuitable);
      if ('refusal' in read) {
        requireSilence(read.refusal);
        return;
      }
      const { crypto } = read.value;
      requireSilent(describeKdf(read.value));
      const { kdf, kdfparams, ciphertext, cipherparams, mac } = crypto;
      const cost = kdf === 'pbkdf2' ? kdfparams.c : kdfparams.n * kdfparams.r * kdfparams.p;
      expectThat(cost <= 2 ** 25, 'a key derivation that costs too much');
      // OpenSSL insists on what RFC 7914 asks for; the rest goes to a thread of its own
      if (cost > 4096 || (kdf === 'scrypt' && kdfparams.n >= 2 ** (16 * kdfparams.r))) return;
      const opened = await attemptLater(
        () => decryptKeystore(read.value, new Secret(password), 'key.json'),
        (error) => error instanceof ProviderError && error.code === 'KEY_ACCESS_DENIED',
      );
      const derived = derive(kdf, kdfparams);
      const isRight = macOf(derived, ciphertext) === mac.toLowerCase();
      expectThat(
        isRight === 'value' in opened,
        isRight ? 'a right password is refused' : 'a wrong one is taken',
      );
      if ('refusal' in opened) {
        requireSilence(opened.refusal);
        return;
      }
      const decipher = createDecipheriv(
        'aes-128-ctr',
        derived.subarray(0, 16),
        Buffer.from(cipherparams.iv, 'hex'),
      );
      expectThat(
        toHex(opened.value) === `0x${decipher.update(hex(ciphertext)).toString('hex')}`,
        'another key',
      );
    },
  },
  {
    name: 'pkcs11-uri',
    format: 'text',
    files: ['plugins/pkcs11/uri.ts'],
    seeds: [
      'pkcs11:token=live%20peer;object=payer;id=%01%aB;slot-id=3;type=private;serial=;model=;manufacturer=x?module-path=/lib/p.so&pin-source=file:///run/pin',
      `PKCS11:token=${secret};pin-value=${secret}?pin-value=${secret}`,
      `pkcs11:id=%00k%C3%A9;object=%F0%9F%8E%A5?pin-source=file:a`,
    ],
    words: ['%25', '%2', '%', ';', '?', '&', '='],
    maxLength: 1024,
    check(input) {
      const source = textOf(input);
      const { uri, problems } = parsePkcs11Uri(source);
      for (const problem of problems) {
        requireSilent(problem);
        expectThat(problem.length < 400, 'a problem that is too long to read');
      }
      if (problems.length > 0) return;
      const { module, token, serial, model, manufacturer, slot, label, id, pin } = uri;
      const pinPath = pin?.replace(/^file:(?=\/)/, 'file://');
      const attribute = (name: string, value: string | undefined) =>
        value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`];
      const path = [
        ...attribute('token', token),
        ...attribute('serial', serial),
        ...attribute('model', model),
        ...attribute('manufacturer', manufacturer),
        ...attribute('object', label),
        ...(id === undefined ? [] : [`id=${id.replace(/../g, '%$&')}`]),
        ...(slot === undefined ? [] : [`slot-id=${slot}`]),
      ];
      const query = [...attribute('module-path', module), ...attribute('pin-source', pinPath)];
      const again = parsePkcs11Uri(`pkcs11:${path.join(';')}?${query.join('&')}`);
      expectThat(
        again.problems.length === 0,
        `written again it has a problem: ${again.problems.join()}`,
      );
      const inOrder = (value: object) => JSON.stringify(Object.entries(value).sort());
      expectThat(inOrder(again.uri) === inOrder(uri), 'read in another way the second time');
    },
  },
  {
    name: 'seal',
    format: 'bytes',
    files: ['src/session/seal-verifier.ts', 'src/session/delegated-seal.ts'],
    seeds: [concat(seal, new Uint8Array(64)), concat(word(r), word(s), Uint8Array.of(28))],
    maxLength: 400,
    check(input) {
      expectThat(!verifySeal({ state: Uint8Array.of(1), sig: input }), 'a seal that nobody made');
      const read = parseDelegatedSeal(input);
      if (!read) return;
      expectThat(input.length === 178, 'a seal of another length');
      const header = encodeSealHeader(read, read.delegationSignature);
      expectThat(
        Buffer.compare(concat(header, read.instanceSignature), input) === 0,
        'written in another way than it was read',
      );
    },
  },
];
