import { createRequire } from 'node:module';
import { secp256k1 as noble } from '@noble/curves/secp256k1';
import type * as NativeModule from 'secp256k1';
import { ProviderError } from '../../src/keys/provider.ts';

export type LowSSignature = {
  /** r ‖ s with a low s, 64 bytes */
  readonly bytes: Uint8Array;
  readonly recoveryId: 0 | 1;
};

/** What this plugin needs of a secp256k1 library. */
export type Secp256k1 = {
  readonly library: 'libsecp256k1' | 'noble-curves';
  /** Whether these 32 bytes are a scalar in [1, n-1]. */
  isPrivateKey(bytes: Uint8Array): boolean;
  /** Uncompressed SEC1 point, 65 bytes. */
  publicKeyOf(privateKey: Uint8Array): Uint8Array;
  /** Signs a 32-byte digest with the nonce of RFC 6979. */
  sign(digest: Uint8Array, privateKey: Uint8Array): LowSSignature;
};

/**
 * The native library, about 40 µs a signature. It is loaded by its inner name because the package's main module
 * replaces a missing native build by a JavaScript one without saying so. Throws when there is no build for this platform.
 */
export function loadLibsecp256k1(): Secp256k1 {
  const require = createRequire(import.meta.url);
  const native = require('secp256k1/bindings.js') as typeof NativeModule;
  return {
    library: 'libsecp256k1',
    isPrivateKey: (bytes) => native.privateKeyVerify(bytes),
    publicKeyOf: (privateKey) => native.publicKeyCreate(privateKey, false),
    sign: (digest, privateKey) => {
      const { signature, recid } = native.ecdsaSign(digest, privateKey);
      return { bytes: signature, recoveryId: recid === 1 ? 1 : 0 };
    },
  };
}

/** The JavaScript library, about ten times slower; runs everywhere. */
export function loadNobleCurves(): Secp256k1 {
  return {
    library: 'noble-curves',
    isPrivateKey: (bytes) => noble.utils.isValidPrivateKey(bytes),
    publicKeyOf: (privateKey) => noble.getPublicKey(privateKey, false),
    sign: (digest, privateKey) => {
      const signature = noble.sign(digest, privateKey, { lowS: true });
      return { bytes: signature.toCompactRawBytes(), recoveryId: signature.recovery === 1 ? 1 : 0 };
    },
  };
}

/** Private key 1 signs SHA-256("Satoshi Nakamoto"): a widely published RFC 6979 answer for secp256k1. */
const knownAnswer = {
  privateKey: '0000000000000000000000000000000000000000000000000000000000000001',
  digest: 'a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e',
  signature:
    '934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8' +
    '2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5',
};

function assertKnownAnswer(candidate: Secp256k1): void {
  const { bytes } = candidate.sign(
    Buffer.from(knownAnswer.digest, 'hex'),
    Buffer.from(knownAnswer.privateKey, 'hex'),
  );
  if (Buffer.from(bytes).toString('hex') !== knownAnswer.signature) {
    throw new Error(`${candidate.library} does not give the known RFC 6979 signature`);
  }
}

/**
 * The first library that loads and gives the known RFC 6979 signature.
 * Throws `PROVIDER_UNAVAILABLE` when none does.
 */
export function chooseSecp256k1(
  loaders: readonly (() => Secp256k1)[] = [loadLibsecp256k1, loadNobleCurves],
): Secp256k1 {
  const failures: unknown[] = [];
  for (const load of loaders) {
    try {
      const candidate = load();
      assertKnownAnswer(candidate);
      return candidate;
    } catch (failure) {
      failures.push(failure);
    }
  }
  throw new ProviderError(
    'PROVIDER_UNAVAILABLE',
    'no secp256k1 library of this installation gives the known signature; install the dependencies again',
    { cause: new AggregateError(failures) },
  );
}
