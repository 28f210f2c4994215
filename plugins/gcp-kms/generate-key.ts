import { setTimeout as sleep } from 'node:timers/promises';
import { type GeneratedKey, type ProviderContext, ProviderError } from '../../src/keys/provider.ts';
import { type Config, parseKeyVersion } from './config.ts';
import { assertUsable } from './key-version.ts';
import { KmsKey } from './kms-key.ts';
import type { KeyVersion } from './replies.ts';

const firstPollMs = 100;
const maxPollMs = 5_000;

/**
 * Makes the key that `keyVersion` names, with its first version, and waits until the HSM has generated it.
 *
 * @param timeoutMs how long to wait for the HSM, which takes seconds; a key pending for longer needs an operator.
 * @throws ProviderError `KEY_ALREADY_EXISTS`; `KEY_UNSUITABLE` when `keyVersion` names another version than 1;
 * `PROVIDER_TIMEOUT` when the key has been made but is not ready.
 */
export async function generateKmsKey(
  config: Config,
  context: ProviderContext,
  timeoutMs = 120_000,
): Promise<GeneratedKey> {
  if (parseKeyVersion(config.keyVersion).version !== '1') {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `a new key starts with version 1, not with ${config.keyVersion}: let keyVersion end in /cryptoKeyVersions/1`,
    );
  }
  const key = await KmsKey.connect(config, context);
  try {
    const { signal } = new AbortController();
    await key.create(signal);
    assertUsable(await whenGenerated(key, signal, timeoutMs));
    return { keyRef: key.keyRef, publicKey: await key.getPublicKey(signal) };
  } finally {
    await key.close();
  }
}

async function whenGenerated(
  key: KmsKey,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<KeyVersion> {
  const endsAtMs = performance.now() + timeoutMs;
  for (let pauseMs = firstPollMs; ; pauseMs = Math.min(2 * pauseMs, maxPollMs)) {
    const version = await key.getVersion(signal);
    if (version.state !== 'PENDING_GENERATION') return version;
    if (performance.now() + pauseMs > endsAtMs) {
      throw new ProviderError(
        'PROVIDER_TIMEOUT',
        `${version.name} has been made but is PENDING_GENERATION after ${timeoutMs} ms: look at it again later, and open it when it is ENABLED`,
      );
    }
    await sleep(pauseMs);
  }
}
