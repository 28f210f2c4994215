import { ProviderError } from '../../src/keys/provider.ts';
import type { KeyVersion } from './replies.ts';

/** The one algorithm of Cloud KMS for Ethereum's curve; the service offers it for HSM keys only. */
export const algorithm = 'EC_SIGN_SECP256K1_SHA256';

/**
 * Checks that a key version can sign for Ethereum, now and in an HSM.
 *
 * @throws ProviderError `KEY_UNSUITABLE`; retryable while the HSM still makes the key.
 */
export function assertUsable({ name, state, algorithm: found, protectionLevel }: KeyVersion): void {
  if (state !== 'ENABLED') {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${name} is ${state}, expected ENABLED: ${whatToDo(state)}`,
      { retryable: state === 'PENDING_GENERATION' },
    );
  }
  if (found !== algorithm) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${name} is for ${found}, expected ${algorithm}: make a key with that algorithm`,
    );
  }
  if (protectionLevel !== 'HSM' && protectionLevel !== 'HSM_SINGLE_TENANT') {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${name} has the protection level ${protectionLevel}, expected HSM: make a key with that protection level`,
    );
  }
}

function whatToDo(state: string): string {
  switch (state) {
    case 'PENDING_GENERATION':
      return 'wait until the HSM has made it';
    case 'DISABLED':
      return 'enable the version';
    case 'DESTROY_SCHEDULED':
      return 'restore and enable the version before it is destroyed, or configure another one';
    default:
      return 'configure another version';
  }
}

/** The attributes of a key version that an operator wants to see. */
export function describeVersion(version: KeyVersion): Readonly<Record<string, string>> {
  const { generateTime, importJob, attestation } = version;
  return {
    name: version.name,
    state: version.state,
    algorithm: version.algorithm,
    protectionLevel: version.protectionLevel,
    generatedAt: generateTime
      ? new Date(Number(generateTime.seconds) * 1000).toISOString()
      : 'unknown',
    origin: importJob ? 'imported: copies may exist outside of the HSM' : 'generated in Cloud KMS',
    attestation: attestation?.format ?? 'none',
  };
}
