import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { type KeyProviderPlugin, portVersion } from '../../src/keys/provider.ts';

const configSchema = z.strictObject({
  delayMs: z.number(),
  concurrency: z.int(),
});

const privateKey = new Uint8Array(32).fill(1);

/** A key that takes its time, as one behind a network does. The signature is made within that time, so that it delays no answer. */
export const plugin: KeyProviderPlugin<z.infer<typeof configSchema>> = {
  portVersion,
  name: 'delayed-key',
  configSchema,
  open({ delayMs, concurrency }) {
    const secp256k1 = chooseSecp256k1();
    return Promise.resolve({
      keyRef: 'delayed-key:memory',
      concurrency,
      getPublicKey: () => Promise.resolve(secp256k1.publicKeyOf(privateKey)),
      signDigest: async (digest, { signal }) => {
        const elapsed = delay(delayMs, undefined, { signal });
        // all calls of a payment have been sent by then
        await nextTurn();
        const signature = secp256k1.sign(digest, privateKey);
        await elapsed;
        return { encoding: 'raw', ...signature };
      },
      close: () => Promise.resolve(),
    });
  },
};
