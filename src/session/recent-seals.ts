import { hash } from 'node:crypto';
import type { SealedState } from '../wire/payment-request.ts';

const slots = 2 ** 16;
const hashBytes = 32;

/**
 * Remembers which states this instance sealed last, so that it need not verify its own seal when one comes back: SHA-256
 * over seal and state, in a table of 65,536 entries (2 MiB) where a new one takes the place of an older.
 */
export class RecentSeals {
  readonly #hashes = Buffer.alloc(slots * hashBytes);

  remember(sealed: SealedState): void {
    const hashed = hashSealed(sealed);
    hashed.copy(this.#hashes, offsetOf(hashed));
  }

  /** Whether this instance sealed exactly this state with exactly this seal; false also for what is forgotten. */
  has(sealed: SealedState): boolean {
    const hashed = hashSealed(sealed);
    const offset = offsetOf(hashed);
    return hashed.equals(this.#hashes.subarray(offset, offset + hashBytes));
  }
}

/** Seals have one length, so that where the state begins is no question. */
function hashSealed({ state, sig }: SealedState): Buffer {
  return hash('sha256', Buffer.concat([sig, state]), 'buffer');
}

function offsetOf(hashed: Buffer): number {
  return (hashed.readUInt32LE() % slots) * hashBytes;
}
