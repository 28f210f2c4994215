import { privateKeyToAddress } from 'viem/accounts';
import { digestsOf } from '../../src/keys/intents.ts';
import type { Address } from '../../src/pm/bytes.ts';
import { usualManifestId } from '../payments/request-builder.ts';
import { createRandom } from '../support/random.ts';
import type { TestKey } from '../support/test-key.ts';
import { vectors } from '../vectors/vectors.ts';
import { type GuardedOptions, type GuardedSigner, startGuardedSigner } from './guarded-signer.ts';

const random = createRandom('recipient rand hashes');

/** Of ticket parameters that no other test uses. */
export const randomHash = (): Uint8Array<ArrayBuffer> => random.bytes(32);

/** A guarded signer that counts nonces as it does for operators, unlike most tests'. */
export function startUniqueSigner(options: GuardedOptions = {}): Promise<GuardedSigner> {
  const session = { ticketNonces: 'unique', ...(options.settings?.['session'] as object) };
  return startGuardedSigner({ ...options, settings: { ...options.settings, session } });
}

const credentials = digestsOf({ kind: 'segment-credentials', manifestId: usualManifestId });
const hexOf = (digest: Uint8Array): string => Buffer.from(digest).toString('hex');
const credentialDigests = new Set(credentials.map(hexOf));
const sender = privateKeyToAddress(vectors.key.privateKey).toLowerCase() as Address;
const selfTestDigests = new Set(digestsOf({ kind: 'self-test', sender }).map(hexOf));

/** Whether a key that has failed is asked to show that it signs again, which no payment does. */
export const isSelfTest = (digest: Uint8Array): boolean => selfTestDigests.has(hexOf(digest));

/** The digests of all tickets that the key was asked to sign since its last reset, one an attempt. */
export function ticketDigests({ digests }: TestKey): string[] {
  return digests.map(hexOf).filter((digest) => !credentialDigests.has(digest));
}
