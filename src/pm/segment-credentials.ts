import { keccak256 } from './keccak256.ts';
import { concatBytes, utf8ToBytes } from './bytes.ts';
import { byocJobTag, startsAsByocJob } from './byoc-job.ts';
import type { Refusal } from './refusal.ts';
import { sha256Hex } from './sha256.ts';
import { ticketPreimageLengths } from './ticket.ts';

/** keccak256 of no bytes: the data hash of the empty segment that payment credentials describe. */
export const emptySegmentHash = keccak256(new Uint8Array());

const sequenceZero = new Uint8Array(32);

/**
 * The bytes that segment credentials sign: manifest id (UTF-8) ‖ sequence 0 (32 bytes) ‖ hash of the empty segment; no profiles
 * follow (go-livepeer `SegTranscodingMetadata.Flatten`).
 */
export function flattenSegmentCredentials(manifestId: string): Uint8Array {
  return concatBytes(utf8ToBytes(manifestId), sequenceZero, emptySegmentHash);
}

/**
 * Refuses a manifest id whose credentials could be passed off as something else that is signed as the hash of a preimage: as a
 * ticket, which differs only in the preimage's length, or as a BYOC job, which differs only in how it begins.
 */
export function refuseManifestId(manifestId: string): Refusal | undefined {
  const preimage = flattenSegmentCredentials(manifestId);
  if (startsAsByocJob(preimage))
    return { code: 'MANIFEST_ID_INVALID', data: { start: byocJobTag } };
  if (!ticketPreimageLengths.includes(preimage.length)) return undefined;
  return { code: 'MANIFEST_ID_INVALID', data: { length: utf8ToBytes(manifestId).length } };
}

/** Segment credentials as a session carries them, so that they are signed once for a manifest id. */
export type CarriedCredentials = {
  /** {@link hashManifestId}: the session stays small, however long the id is */
  readonly manifestIdHash: string;
  /** r ‖ s ‖ v, 65 bytes */
  readonly signature: Uint8Array;
};

/** SHA-256 of the manifest id's UTF-8 bytes, 64 hex digits. */
export function hashManifestId(manifestId: string): string {
  return sha256Hex(manifestId);
}
