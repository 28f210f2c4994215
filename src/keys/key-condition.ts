import { InternalError, isSignerError, type SignerError } from '../errors.ts';
import { isTimeout } from './describe-abort.ts';
import { ProviderError } from './provider.ts';

/** A call that was begun this long before its deadline, and had not ended by then, is taken to hang. */
export const hungAfterMs = 1_000;

/** Errors that say nothing of the key: the caller left, a quota is used up, or the signer stops. */
const saysNothing = new Set(['REQUEST_ABORTED', 'PROVIDER_THROTTLED', 'PROVIDER_CLOSED']);

const hung = (): SignerError =>
  new ProviderError('PROVIDER_TIMEOUT', 'the key provider did not answer before the deadline', {
    retryable: true,
  });

/**
 * The condition of a key, as its last signature shows it. A key that fails counts as failing until it signs again, whatever its
 * device says of itself.
 */
export class KeyCondition {
  readonly #nowMs: () => number;
  #failure: SignerError | undefined;
  #signedAtMs = -Infinity;

  /** `nowMs` is a monotonic clock in milliseconds. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Why the last signature was not made; undefined when it was. */
  get failure(): SignerError | undefined {
    return this.#failure;
  }

  /** When the key last signed, by the clock of this object; -Infinity before it did. */
  get signedAtMs(): number {
    return this.#signedAtMs;
  }

  /** Runs one signing call of the provider and remembers how it ended: with a proved signature, or an error. */
  async watch<Signature>(work: () => Promise<Signature>, signal: AbortSignal): Promise<Signature> {
    const startedAtMs = this.#nowMs();
    const isHung = (): boolean => isTimeout(signal) && this.#nowMs() - startedAtMs >= hungAfterMs;
    const onAbort = (): void => {
      if (isHung()) this.#failure = hung();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const signature = await work();
      this.#failure = undefined;
      this.#signedAtMs = this.#nowMs();
      return signature;
    } catch (error) {
      this.#noteFailure(error, signal);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #noteFailure(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const failure = isSignerError(error)
      ? error
      : new InternalError('INTERNAL', 'the key provider failed in a way it does not explain');
    if (!saysNothing.has(failure.code)) this.#failure = failure;
  }
}
