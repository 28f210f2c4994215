import { createRequire } from 'node:module';
import { secp256k1 as noble } from '@noble/curves/secp256k1';
import type * as NativeModule from 'secp256k1';
import { InternalError } from '../errors.ts';

/**
 * Recovers the public key of a signature: 65 bytes, uncompressed SEC1; undefined when there is none.
 * `compact` is r ‖ s (64 bytes), `recoveryId` 0 or 1, `digest` 32 bytes.
 */
export type RecoverPublicKey = (
  digest: Uint8Array,
  compact: Uint8Array,
  recoveryId: 0 | 1,
) => Uint8Array | undefined;

/** libsecp256k1, about 45 µs. Loaded by its internal name: the package's main module would hide that its build is missing. */
export function loadNativeRecover(): RecoverPublicKey {
  const require = createRequire(import.meta.url);
  const native = require('secp256k1/bindings.js') as typeof NativeModule;
  return (digest, compact, recoveryId) => {
    try {
      return native.ecdsaRecover(compact, recoveryId, digest, false);
    } catch {
      return undefined;
    }
  };
}

/** Sums of points, 65 bytes of SEC1 each; undefined for the point at infinity and for what is no point or no scalar. */
export type PointArithmetic = {
  /** `point` of 33 or 65 bytes times a scalar in [1, n − 1] of 32 bytes */
  readonly multiply: (point: Uint8Array | undefined, scalar: Uint8Array) => Uint8Array | undefined;
  /** `point` plus the generator times a scalar in [0, n − 1] of 32 bytes */
  readonly addMultipleOfGenerator: (
    point: Uint8Array | undefined,
    scalar: Uint8Array,
  ) => Uint8Array | undefined;
  readonly sum: (points: readonly (Uint8Array | undefined)[]) => Uint8Array | undefined;
};

/** libsecp256k1's, about 45 µs for a long scalar and 20 µs for one of 32 bits. Not in constant time: for public numbers. */
export function loadNativePointArithmetic(): PointArithmetic {
  const require = createRequire(import.meta.url);
  const native = require('secp256k1/bindings.js') as typeof NativeModule;
  const attempt = (work: () => Uint8Array): Uint8Array | undefined => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  return {
    multiply: (point, scalar) =>
      point && attempt(() => native.publicKeyTweakMul(point, scalar, false)),
    addMultipleOfGenerator: (point, scalar) =>
      point && attempt(() => native.publicKeyTweakAdd(point, scalar, false)),
    sum: (points) => {
      const all = points.filter((point) => point !== undefined);
      if (all.length < points.length) return undefined;
      return attempt(() => native.publicKeyCombine(all, false));
    },
  };
}

/** @noble/curves, about twenty times slower; runs everywhere. */
export function loadNobleRecover(): RecoverPublicKey {
  return (digest, compact, recoveryId) => {
    try {
      return noble.Signature.fromCompact(compact)
        .addRecoveryBit(recoveryId)
        .recoverPublicKey(digest)
        .toRawBytes(false);
    } catch {
      return undefined;
    }
  };
}

/** Private key 1 over SHA-256("Satoshi Nakamoto") with the nonce of RFC 6979; its public key is the generator. */
const knownAnswer = {
  digest: 'a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e',
  compact:
    '934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8' +
    '2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5',
  publicKey: Buffer.from(noble.ProjectivePoint.BASE.toRawBytes(false)).toString('hex'),
};

function givesKnownAnswer(recover: RecoverPublicKey): boolean {
  const [digest, compact] = [knownAnswer.digest, knownAnswer.compact].map((hex) =>
    Uint8Array.from(Buffer.from(hex, 'hex')),
  );
  if (!digest || !compact) return false;
  return ([0, 1] as const).some((recoveryId) => {
    const recovered = recover(digest, compact, recoveryId);
    return recovered && Buffer.from(recovered).toString('hex') === knownAnswer.publicKey;
  });
}

export type CurveLibrary = {
  /** As it is shown to operators in the log and in the build metric. */
  readonly name: 'libsecp256k1' | 'noble-curves';
  readonly load: () => RecoverPublicKey;
};

const libraries: readonly CurveLibrary[] = [
  { name: 'libsecp256k1', load: loadNativeRecover },
  { name: 'noble-curves', load: loadNobleRecover },
];

/** The first library that loads and recovers a known key. Throws `INTERNAL` when none does. */
export function chooseRecover(candidates: readonly CurveLibrary[] = libraries): {
  readonly name: CurveLibrary['name'];
  readonly recover: RecoverPublicKey;
} {
  const failures: unknown[] = [];
  for (const { name, load } of candidates) {
    try {
      const recover = load();
      if (givesKnownAnswer(recover)) return { name, recover };
      failures.push(new Error(`${name} does not recover the known key`));
    } catch (failure) {
      failures.push(failure);
    }
  }
  throw new InternalError('INTERNAL', 'no secp256k1 library of this installation works', {
    cause: new AggregateError(failures),
  });
}

/** The library this process uses, and its name. */
export const { recover: recoverPublicKey, name: curveLibrary } = chooseRecover();

/** undefined where only the slow library works, with which proving batches gains nothing */
export const pointArithmetic: PointArithmetic | undefined =
  curveLibrary === 'libsecp256k1' ? loadNativePointArithmetic() : undefined;
