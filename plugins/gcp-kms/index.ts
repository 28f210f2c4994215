import type { KeyProvider, KeyProviderPlugin, ProviderContext } from '../../src/keys/provider.ts';
import { type Config, configSchema } from './config.ts';
import { generateKmsKey } from './generate-key.ts';
import { assertUsable, describeVersion } from './key-version.ts';
import { KmsKey } from './kms-key.ts';

const openTimeoutMs = 30_000;

/**
 * A key version of Google Cloud KMS, in Cloud HSM; credentials are Application Default Credentials.
 * `docs/providers/gcp-kms.md` describes settings, permissions, quotas and failures.
 */
export const plugin: KeyProviderPlugin<Config> = {
  portVersion: 1,
  name: 'gcp-kms',
  configSchema,
  open: openKey,
  generateKey: (config, context) => generateKmsKey(config, context),
};

async function openKey(config: Config, context: ProviderContext): Promise<KeyProvider> {
  const key = await KmsKey.connect(config, context);
  try {
    const signal = AbortSignal.timeout(openTimeoutMs);
    const version = await key.getVersion(signal);
    assertUsable(version);
    const publicKey = await key.getPublicKey(signal);
    context.log('info', 'the Cloud KMS key is open', describeVersion(version));
    return createProvider(config, key, publicKey);
  } catch (error) {
    await key.close();
    throw error;
  }
}

function createProvider(config: Config, key: KmsKey, publicKey: Uint8Array): KeyProvider {
  return {
    keyRef: key.keyRef,
    concurrency: config.concurrency,
    getPublicKey: ({ signal }) =>
      new Promise((resolve) => {
        key.assertServing(signal);
        resolve(publicKey.slice());
      }),
    signDigest: async (digest, options) => ({
      encoding: 'der',
      bytes: await key.sign(digest, options),
    }),
    checkHealth: async ({ signal }) => assertUsable(await key.getVersion(signal)),
    describeKey: async ({ signal }) => describeVersion(await key.getVersion(signal)),
    close: () => key.close(),
  };
}
