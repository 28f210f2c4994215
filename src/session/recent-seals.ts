import { hash } from 'node:crypto';
import type { SealedState } from '../wire/payment-request.ts';

/** One for each value of a hash's first two bytes. */
const slots = 2 ** 16;
const hashBytes = 32;

/**
 * Remembers which states this instance sealed last, so that it need not verify its own seal when a state comes back: SHA-256 over
 * seal and state, in a table of 65,536 entries (2 MiB) in which a new entry replaces an older one.
 */
export class RecentSeals {
  readonly #hashes = Buffer.alloc(slots * hashBytes);

  remember(sealed: SealedState): void {
    const hashed = hashSealed(sealed);
    this.#hashes.write(hashed, offsetOf(hashed), 'latin1');
  }

  /** Whether this instance sealed exactly this state with exactly this seal; also false where it has forgotten. */
  has(sealed: SealedState): boolean {
    const hashed = hashSealed(sealed);
    const offset = offsetOf(hashed);
    return hashed === this.#hashes.toString('latin1', offset, offset + hashBytes);
  }
}

/**
 * The hash as text of 32 characters, one for each byte. Seals have a fixed length, so it is unambiguous where the state begins.
 */
function hashSealed({ state, sig }: SealedState): string {
  return hash('sha256', Buffer.concat([sig, state]), 'binary');
}

function offsetOf(hashed: string): number {
  const slot = (hashed.charCodeAt(0) << 8) | hashed.charCodeAt(1);
  return slot * hashBytes;
}
