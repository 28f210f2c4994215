import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1';
import type * as NativeModule from 'secp256k1';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  chooseSecp256k1,
  loadLibsecp256k1,
  loadNobleCurves,
} from '../../../plugins/local-keystore/secp256k1.ts';
import {
  failureOf,
  gethLight,
  hex,
  live,
  makeWorkspace,
  password,
  privateKeyHex,
} from './support.ts';
import { createRandom } from '../../support/random.ts';

const random = createRandom('digests for the local keystore');

const require = createRequire(import.meta.url);
const native = require('secp256k1/bindings.js') as typeof NativeModule;

/** Puts another module in the native library's place, for this test. */
function replaceNative(exports: object) {
  const module = require.cache[require.resolve('secp256k1/bindings.js')];
  if (module === undefined) throw new Error('the native library is not loaded');
  module.exports = exports;
  onTestFinished(() => {
    module.exports = native;
  });
}

async function openProvider() {
  const workspace = await makeWorkspace();
  await workspace.write('key.json', gethLight);
  return workspace.open({ path: 'key.json' });
}

describe('signing', () => {
  test('gives the signature that RFC 6979 prescribes, every time', async () => {
    const provider = await openProvider();
    const digest = random.bytes(32);
    const expected = secp256k1.sign(digest, privateKeyHex).toCompactRawBytes();
    for (let round = 0; round < 3; round++) {
      const signature = await provider.signDigest(digest, live);
      expect(signature.encoding).toBe('raw');
      expect(hex(signature.bytes)).toBe(hex(expected));
    }
  });

  test('gives signatures that its public key verifies, many at once', async () => {
    const provider = await openProvider();
    const publicKey = await provider.getPublicKey(live);
    const digests = Array.from({ length: provider.concurrency }, () => random.bytes(32));
    const signatures = await Promise.all(
      digests.map((digest) => provider.signDigest(digest, live)),
    );
    const verified = signatures.map(({ bytes }, index) =>
      secp256k1.verify(bytes, digests[index] ?? '', publicKey),
    );
    expect(verified).toEqual(digests.map(() => true));
  });

  test('keeps its public key even if a caller changes the bytes it got', async () => {
    const provider = await openProvider();
    (await provider.getPublicKey(live)).fill(0);
    expect(hex(await provider.getPublicKey(live))).toBe(
      hex(secp256k1.getPublicKey(privateKeyHex, false)),
    );
  });

  test('rejects when the caller has given up', async () => {
    const provider = await openProvider();
    const gone = { signal: AbortSignal.abort() };
    expect((await failureOf(provider.signDigest(random.bytes(32), gone))).code).toBe(
      'REQUEST_ABORTED',
    );
    expect((await failureOf(provider.getPublicKey(gone))).code).toBe('REQUEST_ABORTED');
  });

  test('rejects every call once it is closed, and may be closed twice', async () => {
    const provider = await openProvider();
    await provider.close();
    await provider.close();
    const calls = [
      provider.signDigest(random.bytes(32), live),
      provider.getPublicKey(live),
      provider.describeKey?.(live) ?? Promise.resolve(),
    ];
    for (const call of calls) expect((await failureOf(call)).code).toBe('PROVIDER_CLOSED');
  });

  test('wipes the key when it is closed', async () => {
    const keys: Uint8Array[] = [];
    replaceNative({
      ...native,
      ecdsaSign: (digest: Uint8Array, key: Uint8Array) => {
        keys.push(key);
        return native.ecdsaSign(digest, key);
      },
    });
    const provider = await openProvider();
    await provider.signDigest(random.bytes(32), live);
    const key = keys.at(-1) ?? new Uint8Array();
    expect(hex(key)).toBe(privateKeyHex);
    await provider.close();
    expect(hex(key)).toBe('00'.repeat(32));
  });

  test('warns and signs the same without the native library', async () => {
    replaceNative({});
    const workspace = await makeWorkspace();
    await workspace.write('key.json', gethLight);
    const provider = await workspace.open({ path: 'key.json' });
    expect(workspace.log).toEqual([
      {
        level: 'warn',
        message: expect.stringContaining('no native secp256k1 library') as string,
        fields: { library: 'noble-curves' },
      },
    ]);
    const digest = random.bytes(32);
    const { bytes } = await provider.signDigest(digest, live);
    expect(hex(bytes)).toBe(hex(secp256k1.sign(digest, privateKeyHex).toCompactRawBytes()));
  });

  test('shows neither key nor password when it is printed', async () => {
    const provider = await openProvider();
    const printed = inspect(provider, { depth: 9, showHidden: true }) + JSON.stringify(provider);
    expect(printed).toContain('local-keystore:path=');
    expect(printed).not.toContain(privateKeyHex);
    expect(printed).not.toMatch(/Uint8Array|Buffer/);
    expect(printed).not.toContain(password);
  });
});

describe('the choice of the secp256k1 library', () => {
  const noSignature = () => ({ bytes: new Uint8Array(64), recoveryId: 0 as const });

  test('takes the native library where it can be loaded', () => {
    expect(chooseSecp256k1().library).toBe('libsecp256k1');
  });

  test('falls back to noble-curves when there is no native build', () => {
    const chosen = chooseSecp256k1([
      () => {
        throw new Error('No native build was found');
      },
      loadNobleCurves,
    ]);
    expect(chosen.library).toBe('noble-curves');
  });

  test('passes over a library that gives a wrong signature', () => {
    const broken = () => ({ ...loadLibsecp256k1(), sign: noSignature });
    expect(chooseSecp256k1([broken, loadNobleCurves]).library).toBe('noble-curves');
  });

  test('refuses to open when no library gives the known signature', async () => {
    const broken = () => ({ ...loadNobleCurves(), sign: noSignature });
    const error = await failureOf(Promise.resolve().then(() => chooseSecp256k1([broken])));
    expect(error.code).toBe('PROVIDER_UNAVAILABLE');
  });

  test('both libraries agree on keys and signatures', () => {
    const native = loadLibsecp256k1();
    const fallback = loadNobleCurves();
    for (let round = 0; round < 20; round++) {
      const privateKey = random.privateKey();
      const digest = random.bytes(32);
      expect(hex(fallback.publicKeyOf(privateKey))).toBe(hex(native.publicKeyOf(privateKey)));
      const { bytes, recoveryId } = native.sign(digest, privateKey);
      const other = fallback.sign(digest, privateKey);
      expect(hex(other.bytes)).toBe(hex(bytes));
      expect(other.recoveryId).toBe(recoveryId);
    }
  });

  test.each([
    ['0', '00'.repeat(32)],
    ['n', 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'],
  ])('both libraries refuse the private key %s', (_name, scalar) => {
    const bytes = new Uint8Array(Buffer.from(scalar, 'hex'));
    expect(loadLibsecp256k1().isPrivateKey(bytes)).toBe(false);
    expect(loadNobleCurves().isPrivateKey(bytes)).toBe(false);
  });
});
