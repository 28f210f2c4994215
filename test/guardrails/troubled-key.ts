import { isSelfTest } from './ticket-draws.ts';
import { ProviderError, type ProviderSignature } from '../../src/keys/provider.ts';

/** What becomes of a payment that the key is asked for; `call` tells at which of its key calls, modulo their number. */
export type Fate =
  | { readonly kind: 'served' }
  | { readonly kind: 'client leaves' | 'key fails'; readonly call: number };

export const concurrency = 3;

/**
 * What a test key with {@link concurrency} replies, so that trouble comes in the middle of a payment: at each payment's turn
 * {@link plan} says which.
 */
export class TroubledKey {
  #fate: Fate['kind'] = 'served';
  #begun = 0;
  #at = 0;
  #leaveAt = 0;
  #leave: () => void = () => undefined;
  #held = Promise.withResolvers<never>();

  /** How many calls of a payment of `calls` begin though its client leaves: those before, and all that run at once from there. */
  static callsUntilLeft({ call }: { readonly call: number }, calls: number): number {
    return Math.min(calls, (call % calls) + concurrency);
  }

  /** For the next payment, which asks for `calls` signatures when it is allowed; `leave` makes its client go away. */
  plan(fate: Fate, calls: number, leave: () => void): void {
    this.#fate = fate.kind;
    this.#begun = 0;
    this.#leave = leave;
    this.#held = Promise.withResolvers();
    this.#held.promise.catch(() => undefined);
    if (fate.kind === 'served') return;
    this.#at = fate.call % calls;
    this.#leaveAt = TroubledKey.callsUntilLeft(fate, calls);
  }

  /** Ends the calls that a client has left. */
  end(): void {
    this.#fate = 'served';
    this.#held.reject(new ProviderError('PROVIDER_UNAVAILABLE', 'the call was given up'));
  }

  readonly reply = (
    bytes: Uint8Array,
    digest: Uint8Array,
  ): ProviderSignature | Promise<ProviderSignature> => {
    if (isSelfTest(digest)) return { encoding: 'raw', bytes };
    this.#begun += 1;
    const isBefore = this.#begun <= this.#at;
    if (this.#fate === 'key fails' && !isBefore) {
      throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device lost its session');
    }
    if (this.#fate === 'client leaves') {
      if (this.#begun === this.#leaveAt) this.#leave();
      if (!isBefore) return this.#held.promise;
    }
    return { encoding: 'raw', bytes };
  };
}
