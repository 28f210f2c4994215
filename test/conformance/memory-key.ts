import { secp256k1 } from '@noble/curves/secp256k1';
import { conformanceCases, type ConformanceSubject } from '../../src/keys/conformance/cases.ts';
import { type CallOptions, type KeyProvider, ProviderError } from '../../src/keys/provider.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('keys in memory');

/** A key that signs a batch in one call, one digest after the other. */
export const inBatches: Defect = (key) => ({
  signDigests: async (digests, options) => {
    const signatures = [];
    for (const digest of digests) signatures.push(await key.signDigest(digest, options));
    return signatures;
  },
});

/** What makes a provider out of the conforming one; `device` is what the suite can disturb. */
export type Defect = (conforming: KeyProvider, device: Device) => Partial<KeyProvider>;

type Device = { isHanging: boolean; isThrottling: boolean };

export const secret = 'the secret of the memory key';

/** A key in memory that conforms, but for the defect, with a device that can hang and throttle. */
export function createMemorySubject(defect: Defect = () => ({})): ConformanceSubject {
  const privateKey = random.privateKey();
  const device: Device = { isHanging: false, isThrottling: false };
  const during = (fault: keyof Device) => () => {
    device[fault] = true;
    return Promise.resolve(() => {
      device[fault] = false;
      return Promise.resolve();
    });
  };
  return {
    secrets: [secret, Buffer.from(privateKey).toString('hex')],
    faults: { hang: during('isHanging'), throttling: during('isThrottling') },
    open: () => {
      const conforming = createProvider(privateKey, device);
      return Promise.resolve({ ...conforming, ...defect(conforming, device) });
    },
  };
}

function createProvider(privateKey: Uint8Array, device: Device): KeyProvider {
  const closing = new AbortController();

  async function untilEnded<Result>({ signal }: CallOptions, work: () => Result): Promise<Result> {
    const ended = AbortSignal.any([signal, closing.signal]);
    await new Promise((resolve) => setImmediate(resolve));
    while (device.isHanging && !ended.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (closing.signal.aborted) throw new ProviderError('PROVIDER_CLOSED', 'closed');
    if (signal.aborted) throw abortError(signal);
    if (device.isThrottling) {
      throw new ProviderError('PROVIDER_THROTTLED', 'asked too often', { retryable: true });
    }
    return work();
  }

  return {
    keyRef: 'memory:key',
    concurrency: 8,
    getPublicKey: (options) => untilEnded(options, () => secp256k1.getPublicKey(privateKey, false)),
    signDigest: (digest, options) =>
      untilEnded(options, () => ({
        encoding: 'raw',
        bytes: secp256k1.sign(digest, privateKey).toCompactRawBytes(),
      })),
    describeKey: (options) => untilEnded(options, () => ({ storage: 'memory' })),
    close: () => {
      closing.abort();
      return Promise.resolve();
    },
  };
}

function abortError({ reason }: AbortSignal): ProviderError {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
    ? new ProviderError('PROVIDER_TIMEOUT', 'too late', { retryable: true })
    : new ProviderError('REQUEST_ABORTED', 'aborted');
}

/** What the case whose name starts so says of a memory key with this defect; undefined when it finds nothing. */
export async function failureOfCase(name: string, defect: Defect): Promise<string | undefined> {
  const [found, ...more] = conformanceCases(createMemorySubject(defect)).filter((one) =>
    one.name.startsWith(name),
  );
  if (!found || more.length > 0) throw new Error(`not one case is called "${name}"`);
  try {
    await found.run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
