import { createRequire } from 'node:module';
import type * as NativeModule from 'secp256k1';
import {
  type KeyProvider,
  ProviderError,
  type ProviderSignature,
} from '../../../src/keys/provider.ts';
import { curveOrder, invertScalars } from '../../../src/keys/scalars.ts';
import { encodeDerSignature } from '../../../src/keys/signature.ts';
import { Draw } from './draw.ts';
import type { Kernel } from './kernel.ts';

export type DeviceTrouble = 'throttles' | 'loses-replies' | 'hangs' | 'slow';

/** Is told of each use of the key. */
export type DeviceWatcher = {
  asked(digest: Uint8Array): void;
  /** `signature` is r ‖ s with a low s, 64 bytes */
  signed(digest: Uint8Array, signature: Uint8Array): void;
};

const native = createRequire(import.meta.url)('secp256k1/bindings.js') as typeof NativeModule;

const privateKey = Uint8Array.from({ length: 32 }, (_, place) => place + 1);
const secret = toScalar(privateKey);
export const publicKey = native.publicKeyCreate(privateKey, false);

/** Signatures that this device made lately, whose key is known without recovering it, which is what costs most of a payment. */
const lately = new Set<string>();
const mostLately = 1_000;
const recover = native.ecdsaRecover;
native.ecdsaRecover = (compact, recoveryId, digest, isCompressed?: boolean) =>
  isCompressed === false && lately.has(nameOf(digest, compact, recoveryId))
    ? Uint8Array.from(publicKey)
    : recover(compact, recoveryId, digest, isCompressed);

function nameOf(digest: Uint8Array, compact: Uint8Array, recoveryId: number): string {
  return Buffer.concat([digest, compact, Buffer.of(recoveryId)]).toString('latin1');
}

type Nonce = { readonly r: bigint; readonly inverse: bigint; readonly isOdd: boolean };

/** Points for the device's random numbers, which are made once: a point costs more than all the rest of a signature. */
const nonces: readonly Nonce[] = makeNonces(512);

function makeNonces(count: number): Nonce[] {
  const draw = new Draw(7);
  const scalars = Array.from({ length: count }, () => BigInt(`0x${draw.hex(31)}`) + 1n);
  const inverses = invertScalars(scalars);
  return scalars.map((scalar, place) => {
    const point = native.publicKeyCreate(toBytes(scalar), false);
    const r = toScalar(point.subarray(1, 33)) % curveOrder;
    return { r, inverse: inverses[place] ?? 0n, isOdd: ((point[64] ?? 0) & 1) === 1 };
  });
}

function toScalar(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function toBytes(scalar: bigint): Uint8Array {
  return Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex');
}

/** A key that signs with a random number each time, as a KMS or an HSM does: another signature of the same digest each time. */
export class Device {
  trouble: DeviceTrouble | undefined;
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  readonly #watcher: DeviceWatcher;

  constructor(kernel: Kernel, draw: Draw, watcher: DeviceWatcher) {
    this.#kernel = kernel;
    this.#draw = draw;
    this.#watcher = watcher;
  }

  /** `takesBatches`: all digests of a payment in one call, as a local key does */
  open(takesBatches: boolean): KeyProvider {
    const one: KeyProvider['signDigest'] = (digest, { signal }) =>
      this.#call([digest], signal).then(([signature]) => {
        if (!signature) throw new Error('the device made no signature');
        return signature;
      });
    const provider: KeyProvider = {
      keyRef: 'simulated:key',
      concurrency: 1 + this.#draw.int(4),
      getPublicKey: () => Promise.resolve(publicKey),
      signDigest: one,
      close: () => Promise.resolve(),
    };
    if (takesBatches) provider.signDigests = (digests, { signal }) => this.#call(digests, signal);
    return provider;
  }

  #call(digests: readonly Uint8Array[], signal: AbortSignal): Promise<ProviderSignature[]> {
    // whoever is dead by now only looks as if it asked
    if (!this.#kernel.owner.isAlive) return new Promise(() => undefined);
    for (const digest of digests) this.#watcher.asked(digest);
    const isTroubled = this.trouble !== undefined && this.#draw.chance(0.7);
    const trouble = isTroubled ? this.trouble : undefined;
    return new Promise((resolve, reject) => {
      signal.addEventListener(
        'abort',
        () =>
          reject(
            new ProviderError('PROVIDER_TIMEOUT', 'the call was given up', { retryable: true }),
          ),
        { once: true },
      );
      const fail = (): void =>
        reject(
          new ProviderError('PROVIDER_UNAVAILABLE', 'the device is not there', { retryable: true }),
        );
      const delayUs = 500 + this.#draw.int(trouble === 'slow' ? 6_000_000 : 30_000);
      this.#kernel.after(delayUs, () => {
        if (trouble === 'throttles') {
          fail();
          return;
        }
        const signatures = digests.map((digest) => this.#sign(digest));
        if (trouble === 'loses-replies') fail();
        else if (trouble !== 'hangs') resolve(signatures);
      });
    });
  }

  #sign(digest: Uint8Array): ProviderSignature {
    const nonce = nonces[this.#draw.int(nonces.length)];
    if (!nonce) throw new Error('no nonce');
    const { r, inverse, isOdd } = nonce;
    const made = (inverse * (toScalar(digest) + r * secret)) % curveOrder;
    // low or high, as the device likes
    const isLow = made <= curveOrder / 2n;
    const isGivenHigh = this.#draw.chance(0.2);
    const s = isLow === isGivenHigh ? curveOrder - made : made;
    const recoveryId = isOdd === (s === made) ? 1 : 0;
    const rBytes = toBytes(r);
    const bytes = Buffer.concat([rBytes, toBytes(s)]);
    const low = isGivenHigh ? Buffer.concat([rBytes, toBytes(curveOrder - s)]) : bytes;
    if (lately.size >= mostLately) lately.clear();
    lately.add(nameOf(digest, low, isGivenHigh ? 1 - recoveryId : recoveryId));
    this.#watcher.signed(digest, low);
    return this.#draw.chance(0.1)
      ? { encoding: 'der', bytes: encodeDerSignature({ r, s }) }
      : { encoding: 'raw', bytes: Uint8Array.from(bytes), recoveryId };
  }
}
