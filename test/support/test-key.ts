import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import {
  type KeyProviderPlugin,
  portVersion,
  type ProviderSignature,
} from '../../src/keys/provider.ts';

const secp256k1 = chooseSecp256k1();

export type TestKey = {
  readonly plugin: KeyProviderPlugin;
  /** digests the provider was asked to sign since the last `reset` */
  readonly digests: Uint8Array[];
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
  return {
    digests,
    reset: () => {
      digests.length = 0;
    },
    plugin: {
      portVersion,
      name: 'test-key',
      configSchema: z.strictObject({}),
      open: () =>
        Promise.resolve({
          keyRef: 'test-key:memory',
          concurrency: options.concurrency ?? 64,
          getPublicKey: () => Promise.resolve(secp256k1.publicKeyOf(privateKey)),
          signDigest: async (digest, { signal }) => {
            digests.push(digest);
            if (options.delayMs !== undefined) await delay(options.delayMs, undefined, { signal });
            const { bytes: signature } = secp256k1.sign(digest, privateKey);
            return options.reply
              ? options.reply(signature, digest)
              : { encoding: 'raw', bytes: signature };
          },
          close: () => Promise.resolve(),
        }),
    },
  };
}
