import { digestsOf } from '../../src/keys/intents.ts';
import { usualManifestId } from '../payments/request-builder.ts';
import { createRandom } from '../support/random.ts';
import type { TestKey } from '../support/test-key.ts';
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
const ownDigests = new Set(credentials.map((digest) => Buffer.from(digest).toString('hex')));

/** The digests of all tickets that the key was asked to sign since its last reset, one an attempt. */
export function ticketDigests({ digests }: TestKey): string[] {
  return digests
    .map((digest) => Buffer.from(digest).toString('hex'))
    .filter((digest) => !ownDigests.has(digest));
}
