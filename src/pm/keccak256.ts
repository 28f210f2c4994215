import { createKeccak } from 'hash-wasm';

const hasher = await createKeccak(256);

/** Ethereum's keccak256, 32 bytes. It runs in WebAssembly, because a payment hashes each of its tickets twice. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  return hasher.init().update(bytes).digest('binary');
}
