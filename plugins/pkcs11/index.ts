import { existsSync } from 'node:fs';
import {
  type GeneratedKey,
  type KeyProvider,
  type KeyProviderPlugin,
  ProviderError,
} from '../../src/keys/provider.ts';
import { configSchema, type Pkcs11Config, type ResolvedConfig, resolveConfig } from './config.ts';
import { SessionPool } from './session-pool.ts';

/** Keys in a PKCS#11 token: an HSM, or SoftHSM for development. See `docs/providers/pkcs11.md`. */
export const plugin: KeyProviderPlugin<Pkcs11Config> = {
  portVersion: 1,
  name: 'pkcs11',
  configSchema,

  check(config, context) {
    const { module } = resolveConfig(config, context);
    if (existsSync(module)) return;
    const data = { field: config.module === undefined ? 'uri' : 'module' };
    throw new ProviderError('PROVIDER_MISSING', `there is no file ${module}; correct the path`, {
      data,
    });
  },

  async open(config, context) {
    const resolved = resolveConfig(config, context);
    const log = context.log.bind(context);
    return createProvider(resolved, await SessionPool.open(resolved, { generate: false, log }));
  },

  async generateKey(config, context): Promise<GeneratedKey> {
    const resolved = { ...resolveConfig(config, context), sessions: 1 };
    const log = context.log.bind(context);
    const pool = await SessionPool.open(resolved, { generate: true, log });
    try {
      return { keyRef: resolved.keyRef, publicKey: pool.publicKey };
    } finally {
      await pool.close();
    }
  },
};

function createProvider({ keyRef }: ResolvedConfig, pool: SessionPool): KeyProvider {
  return {
    keyRef,
    concurrency: pool.size,

    // read when the pool was opened; in a promise, so that a closed pool rejects rather than throws
    getPublicKey: () => new Promise((resolve) => resolve(pool.publicKey)),

    signDigest: (digest, { signal }) => pool.sign(digest, signal),

    checkHealth: ({ signal }) => pool.check(signal),

    async describeKey({ signal }) {
      const { key, token } = await pool.describe(signal);
      return {
        curve: 'secp256k1',
        label: key.label,
        id: key.id,
        sensitive: yesOrNo(key.sensitive),
        alwaysSensitive: yesOrNo(key.alwaysSensitive),
        extractable: yesOrNo(key.extractable),
        neverExtractable: yesOrNo(key.neverExtractable),
        local: yesOrNo(key.local),
        tokenLabel: token.label,
        tokenModel: token.model,
        tokenSerial: token.serial,
        tokenFirmware: token.firmware,
        sessions: String(pool.size),
      };
    },

    close: () => pool.close(),
  };
}

function yesOrNo(value: boolean | undefined): string {
  if (value === undefined) return 'not stated';
  return value ? 'yes' : 'no';
}
