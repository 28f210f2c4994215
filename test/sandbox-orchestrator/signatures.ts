import secp256k1 from 'secp256k1';
import { getAddress } from 'viem';
import { equalBytes, keccak256, toHex, toInteger, toWord } from './bytes.ts';

const halfOrder = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/** keccak-256 of the Ethereum personal message (EIP-191) that carries `message`. */
export function personalMessageDigest(message: Uint8Array): Uint8Array {
  const prefix = Buffer.from(`\u0019Ethereum Signed Message:\n${message.length}`, 'utf8');
  return keccak256(prefix, message);
}

/**
 * Why an orchestrator refuses `signature` (r ‖ s ‖ v, 65 bytes) over the personal message `message` as one by
 * `address` (20 bytes), or undefined if it takes it. Checks and order are pm.md §1's.
 */
export function findSignatureFault(
  address: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): string | undefined {
  if (signature.length !== 65) return 'invalid signature length';
  if (toInteger(signature.subarray(32, 64)) > halfOrder) return 'signature s value too high';
  const v = signature[64];
  if (v !== 27 && v !== 28) return 'signature v value must be 27 or 28';
  const digest = personalMessageDigest(message);
  let publicKey: Uint8Array;
  try {
    publicKey = secp256k1.ecdsaRecover(signature.subarray(0, 64), v - 27, digest, false);
  } catch {
    return 'no public key can be recovered from the signature';
  }
  const signer = keccak256(publicKey.subarray(1)).subarray(12);
  return equalBytes(signer, address) ? undefined : `signed by ${getAddress(toHex(signer))}`;
}

/** What a signer signs in `/sign-orchestrator-info`: keccak-256 of the checksummed address text (pm.md §6). */
export function orchestratorInfoMessage(address: Uint8Array): Uint8Array {
  return keccak256(Buffer.from(getAddress(toHex(address)), 'ascii'));
}

export type FlatSegment = {
  readonly manifestId: Uint8Array;
  readonly seq: bigint;
  /** 32 bytes */
  readonly hash: Uint8Array;
  /** Hex text of the profiles' hashes; empty for a payment. */
  readonly profiles: string;
};

/** The 32 bytes signed by segment credentials: keccak-256 of the flattened segment (pm.md §8). */
export function segmentMessage({ manifestId, seq, hash, profiles }: FlatSegment): Uint8Array {
  return keccak256(manifestId, toWord(seq), hash, Buffer.from(profiles, 'ascii'));
}
