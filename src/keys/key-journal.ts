import type { Address } from '../pm/bytes.ts';
import type { Permission } from './grant.ts';

/** What the key is asked to sign, and why it may. */
export type KeyUse = Permission & {
  readonly sender: Address;
  /** the provider's name of the key and its version */
  readonly keyRef: string;
  /** 32 bytes each, in the order of the intent */
  readonly digests: readonly Uint8Array[];
};

/**
 * Records every use of the key. The gate calls it around each one, so that nothing is signed unrecorded.
 */
export type KeyJournal = {
  /** Resolves once the record is written: before the key is called. Throws `AUDIT_UNAVAILABLE`; then nothing is signed. */
  begin(use: KeyUse): Promise<KeyUseRecord>;
};

export type KeyUseRecord = {
  /**
   * Resolves once the record is durable: before a signature leaves the gate. `event` describes, for the events, the payment that
   * the signatures complete. Throws `AUDIT_UNAVAILABLE`.
   */
  signed(durationMs: number, event?: string): Promise<void>;
  /** No signature left the gate. Never throws. */
  failed(code: string, durationMs: number): void;
};

/** Records nothing: for where no audit log is configured. */
export const noJournal: KeyJournal = {
  begin: () => Promise.resolve({ signed: () => Promise.resolve(), failed: () => undefined }),
};
