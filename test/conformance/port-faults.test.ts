import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { createPortFault, withCallCount } from '../../src/keys/conformance/port-faults.ts';
import type { DeviceFault } from '../../src/keys/conformance/subject.ts';
import type { KeyProvider, ProviderSignature } from '../../src/keys/provider.ts';
import { curveOrder } from '../../src/keys/scalars.ts';

const never = { signal: new AbortController().signal };
const privateKey = new Uint8Array(32).fill(7);
const publicKey = secp256k1.getPublicKey(privateKey, false);
const digests = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));
const [digest = expect.unreachable()] = digests;

type Encoding = ProviderSignature['encoding'];
type Scalars = { readonly r: bigint; readonly s: bigint };

function encode(encoding: Encoding, { r, s }: Scalars): ProviderSignature {
  const signature = new secp256k1.Signature(r, s);
  const bytes = encoding === 'der' ? signature.toDERRawBytes() : signature.toCompactRawBytes();
  return { encoding, bytes };
}

function decode({ encoding, bytes }: ProviderSignature): Scalars {
  const { r, s } =
    encoding === 'der'
      ? secp256k1.Signature.fromDER(bytes)
      : secp256k1.Signature.fromCompact(bytes);
  return { r, s };
}

const isOver = (asked: Uint8Array, reply: ProviderSignature | undefined): boolean =>
  reply !== undefined && secp256k1.verify(decode(reply), asked, publicKey, { lowS: false });

/** A provider that signs, and the calls that it gets; `reply` takes the place of its signatures. */
function openProvider(encoding: Encoding, reply?: Scalars) {
  const calls: string[] = [];
  const sign = (asked: Uint8Array): ProviderSignature =>
    encode(encoding, reply ?? secp256k1.sign(asked, privateKey));
  const provider: KeyProvider = {
    keyRef: 'memory:key',
    concurrency: 8,
    getPublicKey: ({ signal }) => {
      calls.push(`getPublicKey ${signal === never.signal}`);
      return Promise.resolve(publicKey);
    },
    signDigest: (asked, { signal }) => {
      calls.push(`signDigest ${signal === never.signal}`);
      return Promise.resolve(sign(asked));
    },
    close: () => {
      calls.push('close');
      return Promise.resolve();
    },
  };
  const inBatches: KeyProvider = {
    ...provider,
    signDigests: (asked, { signal }) => {
      calls.push(`signDigests ${signal === never.signal}`);
      return Promise.resolve(asked.map(sign));
    },
  };
  return { provider, inBatches, calls };
}

/** What a provider with this fault replies to one digest. */
async function replyWith(
  fault: DeviceFault,
  encoding: Encoding,
  reply?: Scalars,
): Promise<ProviderSignature> {
  const faulty = createPortFault(openProvider(encoding, reply).provider, fault);
  faulty.start();
  return faulty.provider.signDigest(digest, never);
}

const half = curveOrder / 2n;

describe.each(['der', 'raw'] as const)('a fault at the port, of signatures in %s', (encoding) => {
  it('is another key’s signature', async () => {
    const reply = await replyWith('other-key', encoding);
    expect(reply.encoding).toBe(encoding);
    expect(isOver(digest, reply)).toBe(false);
    const { r, s } = decode(reply);
    const recovered = [0, 1].map((id) =>
      new secp256k1.Signature(r, s).addRecoveryBit(id).recoverPublicKey(digest),
    );
    for (const point of recovered) point.assertValidity();
  });

  it.each([
    [1n, curveOrder - 1n],
    [half / 2n, curveOrder - half / 2n],
    [half, curveOrder - half],
    [half + 1n, half + 1n],
    [curveOrder - 1n, curveOrder - 1n],
  ])('is a high s: of %s, %s', async (s, high) => {
    const reply = await replyWith('high-s', encoding, { r: 5n, s });
    expect(reply.encoding).toBe(encoding);
    expect(decode(reply)).toEqual({ r: 5n, s: high });
    expect(Uint8Array.from(reply.bytes)).toEqual(encode(encoding, { r: 5n, s: high }).bytes);
  });

  it('is garbage of the same length', async () => {
    const { bytes } = encode(encoding, secp256k1.sign(digest, privateKey));
    expect(await replyWith('garbage', encoding)).toEqual({
      encoding,
      bytes: new Uint8Array(bytes.length).fill(0xff),
    });
  });

  it('is a signature without its last byte', async () => {
    const { bytes } = encode(encoding, secp256k1.sign(digest, privateKey));
    expect(await replyWith('truncated', encoding)).toEqual({
      encoding,
      bytes: bytes.subarray(0, bytes.length - 1),
    });
  });

  it('is caused in the last signature of a batch, and leaves the others', async () => {
    const { inBatches } = openProvider(encoding);
    const faulty = createPortFault(inBatches, 'truncated');
    const { provider } = faulty;
    for (const count of [1, 2, 3]) {
      const asked = digests.slice(0, count);
      const whole = asked.map((one) => encode(encoding, secp256k1.sign(one, privateKey)));
      faulty.start();
      const replies = await provider.signDigests?.(asked, never);
      const { bytes } = whole.at(-1) ?? expect.unreachable();
      expect(replies).toEqual([
        ...whole.slice(0, -1),
        { encoding, bytes: bytes.subarray(0, bytes.length - 1) },
      ]);
    }
  });
});

describe('a fault at the port', () => {
  it.each([
    ['throttling', 'PROVIDER_THROTTLED'],
    ['lost-connection', 'PROVIDER_UNAVAILABLE'],
  ] as const)('is %s, which may pass, and the provider is not called', async (fault, code) => {
    const { inBatches, calls } = openProvider('raw');
    const faulty = createPortFault(inBatches, fault);
    const { provider } = faulty;
    faulty.start();
    const failure = { name: 'ProviderError', code, retryable: true };
    await expect(provider.signDigest(digest, never)).rejects.toMatchObject(failure);
    await expect(provider.signDigests?.(digests, never)).rejects.toMatchObject(failure);
    expect(calls).toEqual([]);
  });

  it('is a call that hangs until the fault ends, and is made then', async () => {
    const { inBatches, calls } = openProvider('raw');
    const faulty = createPortFault(inBatches, 'hang');
    const { provider } = faulty;
    faulty.start();
    const hanging = provider.signDigest(digest, never);
    const inOne = provider.signDigests?.(digests, never);
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toEqual([]);
    faulty.stop();
    expect(isOver(digest, await hanging)).toBe(true);
    expect((await inOne)?.map((reply, index) => isOver(digests[index] ?? digest, reply))).toEqual([
      true,
      true,
      true,
    ]);
    expect(calls).toEqual(['signDigest true', 'signDigests true']);
  });

  it('lasts from its start to its stop', async () => {
    const { inBatches } = openProvider('raw');
    const faulty = createPortFault(inBatches, 'garbage');
    const { provider } = faulty;
    const areGood = async (): Promise<boolean[]> => [
      isOver(digest, await provider.signDigest(digest, never)),
      ...((await provider.signDigests?.(digests, never)) ?? []).map((reply, index) =>
        isOver(digests[index] ?? digest, reply),
      ),
    ];
    expect(await areGood()).toEqual([true, true, true, true]);
    faulty.start();
    const broken = await provider.signDigest(digest, never);
    expect(broken.bytes).toEqual(new Uint8Array(64).fill(0xff));
    faulty.stop();
    expect(await areGood()).toEqual([true, true, true, true]);
  });

  it('takes an empty batch, and a reply without signatures, for what they are', async () => {
    const { inBatches } = openProvider('raw');
    const faulty = createPortFault(inBatches, 'garbage');
    const { provider } = faulty;
    faulty.start();
    expect(await provider.signDigests?.([], never)).toEqual([]);
    const silent = createPortFault(
      { ...inBatches, signDigests: () => Promise.resolve([]) },
      'garbage',
    );
    silent.start();
    await expect(silent.provider.signDigests?.(digests, never)).rejects.toThrow(
      'expected a signature; found none',
    );
  });

  it('leaves alone all else, and offers no batches where the provider takes none', async () => {
    const { provider: plain, calls } = openProvider('raw');
    const { provider } = createPortFault(plain, 'hang');
    expect(Object.keys(provider).sort()).toEqual([
      'close',
      'concurrency',
      'getPublicKey',
      'keyRef',
      'signDigest',
    ]);
    expect(provider).toMatchObject({ keyRef: 'memory:key', concurrency: 8 });
    expect(await provider.getPublicKey(never)).toBe(publicKey);
    await provider.close();
    expect(calls).toEqual(['getPublicKey true', 'close']);
  });
});

describe('the count of calls under way', () => {
  it('is the most of them at once, batches and failed calls among them', async () => {
    const held = Promise.withResolvers<undefined>();
    const { inBatches } = openProvider('raw');
    let isFailing = false;
    const counted = withCallCount({
      ...inBatches,
      signDigest: async (asked, options) => {
        await held.promise;
        if (isFailing) throw new Error('failed');
        return inBatches.signDigest(asked, options);
      },
      signDigests: async (asked, options) => {
        await held.promise;
        return (await inBatches.signDigests?.(asked, options)) ?? [];
      },
    });
    expect(counted.most).toBe(0);
    const singles = [1, 2].map(() => counted.signDigest(digest, never));
    const batch = counted.signDigests?.(digests, never);
    expect(counted.most).toBe(3);
    held.resolve(undefined);
    for (const reply of await Promise.all(singles)) expect(isOver(digest, reply)).toBe(true);
    expect(await batch).toHaveLength(3);
    isFailing = true;
    for (let call = 0; call < 2; call += 1) {
      await expect(counted.signDigest(digest, never)).rejects.toThrow('failed');
    }
    isFailing = false;
    await Promise.all([1, 2, 3].map(() => counted.signDigest(digest, never)));
    expect(counted.most).toBe(3);
    await Promise.all([1, 2, 3, 4].map(() => counted.signDigest(digest, never)));
    expect(counted.most).toBe(4);
  });

  it('is kept for a provider without batches too, which still has none', async () => {
    const { provider: plain, calls } = openProvider('raw');
    const counted = withCallCount(plain);
    expect('signDigests' in counted).toBe(false);
    expect(counted).toMatchObject({ keyRef: 'memory:key', concurrency: 8 });
    await counted.close();
    expect(calls).toEqual(['close']);
  });
});
