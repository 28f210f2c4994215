import { createSHA256 } from 'hash-wasm';

const hasher = await createSHA256();

/** SHA-256 of a text's UTF-8 bytes, 64 hex digits. */
export function sha256Hex(text: string): string {
  return hasher.init().update(text).digest('hex');
}
