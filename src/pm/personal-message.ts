import { keccak256 } from './keccak256.ts';
import { concatBytes, utf8ToBytes } from './bytes.ts';

/**
 * The 32-byte digest that an Ethereum personal message (EIP-191, version 0x45) is signed over:
 * keccak256("\x19Ethereum Signed Message:\n" ‖ decimal length ‖ message). Everything a Livepeer sender signs is one.
 */
export function personalMessageDigest(message: Uint8Array): Uint8Array {
  const prefix = utf8ToBytes(`\x19Ethereum Signed Message:\n${message.length}`);
  return keccak256(concatBytes(prefix, message));
}
