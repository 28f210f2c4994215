import type { StateDelegation } from '../keys/state-delegation.ts';
import { concatBytes, utf8ToBytes } from '../pm/bytes.ts';

/**
 * A delegated seal, as `Sig` carries it (178 bytes; integers big-endian):
 *
 *     0  version, 1
 *     1  Ed25519 public key of the instance that sealed the state
 *    33  notBefore, Unix seconds
 *    41  notAfter, Unix seconds
 *    49  the sender's signature r ‖ s ‖ v over the delegation of these three (EIP-712)
 *   114  the instance's Ed25519 signature over the above and the state
 */
export type DelegatedSeal = Pick<StateDelegation, 'instanceKey' | 'notBefore' | 'notAfter'> & {
  /** everything before the instance's signature; it is the same in all states that are sealed under one delegation */
  readonly header: Uint8Array;
  readonly delegationSignature: Uint8Array;
  readonly instanceSignature: Uint8Array;
};

const version = 1;
const headerBytes = 114;
const sealBytes = headerBytes + 64;

/** The first 114 bytes of a seal. */
export function encodeSealHeader(
  { instanceKey, notBefore, notAfter }: Omit<StateDelegation, 'chainId' | 'broker'>,
  delegationSignature: Uint8Array,
): Uint8Array {
  const times = new DataView(new ArrayBuffer(16));
  times.setBigUint64(0, notBefore);
  times.setBigUint64(8, notAfter);
  return concatBytes(
    Uint8Array.of(version),
    instanceKey,
    new Uint8Array(times.buffer),
    delegationSignature,
  );
}

/** Parses a seal without verifying it; undefined for another length or version. */
export function parseDelegatedSeal(sig: Uint8Array): DelegatedSeal | undefined {
  if (sig.length !== sealBytes || sig[0] !== version) return undefined;
  const view = new DataView(sig.buffer, sig.byteOffset, sig.byteLength);
  return {
    header: sig.subarray(0, headerBytes),
    instanceKey: sig.subarray(1, 33),
    notBefore: view.getBigUint64(33),
    notAfter: view.getBigUint64(41),
    delegationSignature: sig.subarray(49, headerBytes),
    instanceSignature: sig.subarray(headerBytes),
  };
}

const domainTag = utf8ToBytes('livepeer-hsm-signer session state\n');

/** The bytes that the instance signs: they bind the state to the one delegation that it was sealed under. */
export function instanceMessage(header: Uint8Array, state: Uint8Array): Uint8Array {
  return concatBytes(domainTag, header, state);
}
