import { secp256k1 } from '@noble/curves/secp256k1';
import { uintToBytes32 } from '../../pm/bytes.ts';
import {
  type CallOptions,
  type KeyProvider,
  ProviderError,
  type ProviderSignature,
} from '../provider.ts';
import { curveOrder } from '../scalars.ts';
import { encodeDerSignature, parseDerSignature, parseRawSignature, type RS } from '../signature.ts';
import { ConformanceError, type DeviceFault } from './subject.ts';

type Sign = () => Promise<ProviderSignature>;

const faults: Readonly<
  Record<
    DeviceFault,
    (sign: Sign, digest: Uint8Array, stopped: Promise<undefined>) => Promise<ProviderSignature>
  >
> = {
  'other-key': async (sign, digest) =>
    encodeAs(await sign(), secp256k1.sign(digest, secp256k1.utils.randomPrivateKey())),
  'high-s': async (sign) => {
    const reply = await sign();
    const { r, s } = parse(reply);
    return encodeAs(reply, { r, s: s > curveOrder / 2n ? s : curveOrder - s });
  },
  garbage: async (sign) => {
    const { encoding, bytes } = await sign();
    return { encoding, bytes: new Uint8Array(bytes.length).fill(0xff) };
  },
  truncated: async (sign) => {
    const { encoding, bytes } = await sign();
    return { encoding, bytes: bytes.slice(0, -1) };
  },
  hang: async (sign, _, stopped) => {
    await stopped;
    return sign();
  },
  throttling: () =>
    Promise.reject(
      new ProviderError('PROVIDER_THROTTLED', 'throttled on purpose', { retryable: true }),
    ),
  'lost-connection': () =>
    Promise.reject(
      new ProviderError('PROVIDER_UNAVAILABLE', 'cut off on purpose', { retryable: true }),
    ),
};

export type PortFault = {
  readonly provider: KeyProvider;
  start(): void;
  stop(): void;
};

/** A provider that misbehaves from `start` to `stop`: for devices that can't be made to misbehave themselves. */
export function createPortFault(provider: KeyProvider, fault: DeviceFault): PortFault {
  const stopped = Promise.withResolvers<undefined>();
  let isFaulty = false;

  /** The last of a batch is the faulty one. */
  async function signDigests(
    digests: readonly Uint8Array[],
    options: CallOptions,
  ): Promise<readonly ProviderSignature[]> {
    const signAll = async () => (await provider.signDigests?.(digests, options)) ?? [];
    const lastDigest = digests.at(-1);
    if (!isFaulty || !lastDigest) return signAll();
    let others: readonly ProviderSignature[] = [];
    const sign = async (): Promise<ProviderSignature> => {
      const all = await signAll();
      const last = all.at(-1);
      if (!last) throw new ConformanceError('a signature', 'none');
      others = all.slice(0, -1);
      return last;
    };
    const last = await faults[fault](sign, lastDigest, stopped.promise);
    return [...others, last];
  }

  return {
    provider: {
      ...delegate(provider),
      signDigest: (digest, options) => {
        const sign = (): Promise<ProviderSignature> => provider.signDigest(digest, options);
        return isFaulty ? faults[fault](sign, digest, stopped.promise) : sign();
      },
      ...(provider.signDigests && { signDigests }),
    },
    start: () => {
      isFaulty = true;
    },
    stop: () => {
      isFaulty = false;
      stopped.resolve(undefined);
    },
  };
}

/** A provider that counts, and tells the most signing calls that were under way at once. */
export function withCallCount(provider: KeyProvider): KeyProvider & { readonly most: number } {
  let underWay = 0;
  let most = 0;
  const counted = async <Reply>(call: () => Promise<Reply>): Promise<Reply> => {
    underWay += 1;
    most = Math.max(most, underWay);
    try {
      return await call();
    } finally {
      underWay -= 1;
    }
  };
  return {
    ...delegate(provider),
    get most() {
      return most;
    },
    signDigest: (digest, options) => counted(() => provider.signDigest(digest, options)),
    ...(provider.signDigests && {
      signDigests: (digests, options) =>
        counted(async () => (await provider.signDigests?.(digests, options)) ?? []),
    }),
  };
}

function delegate(provider: KeyProvider): Omit<KeyProvider, 'signDigest' | 'signDigests'> {
  return {
    keyRef: provider.keyRef,
    concurrency: provider.concurrency,
    getPublicKey: (options) => provider.getPublicKey(options),
    close: () => provider.close(),
  };
}

function parse({ encoding, bytes }: ProviderSignature): RS {
  return encoding === 'der' ? parseDerSignature(bytes) : parseRawSignature(bytes);
}

function encodeAs({ encoding }: ProviderSignature, { r, s }: RS): ProviderSignature {
  return encoding === 'der'
    ? { encoding, bytes: encodeDerSignature({ r, s }) }
    : { encoding, bytes: Buffer.concat([uintToBytes32(r), uintToBytes32(s)]) };
}
