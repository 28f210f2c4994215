import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { digestsOf } from '../../src/keys/intents.ts';
import {
  type KeyProviderPlugin,
  portVersion,
  type ProviderSignature,
} from '../../src/keys/provider.ts';
import { publicKeyToAddress } from '../../src/keys/signature.ts';

const secp256k1 = chooseSecp256k1();

export type TestKey = {
  readonly plugin: KeyProviderPlugin;
  /** digests the provider was asked to sign since the last `reset`, but self-tests, which nobody asks the signer for */
  readonly digests: Uint8Array[];
  /** how many self-tests since the last `reset`: a key that has failed is asked once a second whether it signs again */
  selfTests: number;
  reset(): void;
};

export type TestKeyOptions = {
  readonly concurrency?: number;
  readonly delayMs?: number;
  /** called for each signature, in place of returning it as the device made it */
  readonly reply?: (
    signature: Uint8Array,
    digest: Uint8Array,
  ) => ProviderSignature | Promise<ProviderSignature>;
};

/** A key provider as a third party would write it, with a known key in memory, that counts what it is asked. */
export function createTestKey(privateKeyHex: string, options: TestKeyOptions = {}): TestKey {
  const privateKey = Uint8Array.from(Buffer.from(privateKeyHex.replace(/^0x/, ''), 'hex'));
  const digests: Uint8Array[] = [];
  const publicKey = secp256k1.publicKeyOf(privateKey);
  const selfTests = digestsOf({ kind: 'self-test', sender: publicKeyToAddress(publicKey) });
  const key = {
    digests,
    selfTests: 0,
    reset: () => {
      digests.length = 0;
      key.selfTests = 0;
    },
    plugin: {
      portVersion,
      name: 'test-key',
      configSchema: z.strictObject({}),
      open: () =>
        Promise.resolve({
          keyRef: 'test-key:memory',
          concurrency: options.concurrency ?? 64,
          getPublicKey: () => Promise.resolve(publicKey),
          signDigest: async (digest, { signal }) => {
            const isSelfTest = selfTests.some((one) => Buffer.compare(one, digest) === 0);
            if (isSelfTest) key.selfTests += 1;
            else digests.push(digest);
            if (options.delayMs !== undefined) await delay(options.delayMs, undefined, { signal });
            const { bytes: signature } = secp256k1.sign(digest, privateKey);
            return options.reply
              ? options.reply(signature, digest)
              : { encoding: 'raw', bytes: signature };
          },
          close: () => Promise.resolve(),
        }),
    },
  } satisfies TestKey;
  return key;
}
