import { setTimeout as sleep } from 'node:timers/promises';
import { isTimeout } from '../../src/keys/describe-abort.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { type Operation, translateAwsError } from './aws-error.ts';

type RequestLimits = {
  /** Time that one attempt may take, in milliseconds. */
  readonly attemptTimeoutMs: number;
  /** Attempts in all, the first one counted. */
  readonly maxAttempts: number;
};

/** One attempt at a request, e.g. `(abortSignal) => client.send(command, { abortSignal })`. */
type Attempt<Reply> = (abortSignal: AbortSignal) => Promise<Reply>;

/** Waits for the attempt's turn, makes it and gives its result. */
export type TakeTurn = <Reply>(
  attempt: () => Promise<Reply>,
  signal: AbortSignal,
) => Promise<Reply>;

type Request = {
  readonly operation: Operation;
  /** What the request is about, for messages. */
  readonly keyId: string;
  readonly signal: AbortSignal;
  /** What every attempt waits for; nothing when left out. */
  readonly takeTurn?: TakeTurn;
  /** Instead of the one in {@link RequestLimits}. */
  readonly maxAttempts?: number;
  /** Instead of the one in {@link RequestLimits}. */
  readonly attemptTimeoutMs?: number;
};

/** The upper bound of the pause after the first failed attempt, and then that of every pause, in milliseconds. */
const firstPauseMs = 50;
const longestPauseMs = 1000;

/**
 * The only retry policy for requests to KMS (the SDK's own is off): transient errors are tried again after a pause of full
 * jitter, within the caller's deadline.
 */
export class KmsRequests {
  readonly #limits: RequestLimits;
  readonly #closed = new AbortController();

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /**
   * Makes a request, and repeats it while it fails with a transient error and attempts are left.
   * @throws ProviderError what the last attempt failed with; `PROVIDER_CLOSED` after `close`; when the request's signal is
   * aborted, `PROVIDER_TIMEOUT` if by a time-out and else `REQUEST_ABORTED`; what `takeTurn` refuses with.
   */
  async send<Reply>(request: Request, attempt: Attempt<Reply>): Promise<Reply> {
    const { operation, keyId, takeTurn = withoutWaiting } = request;
    const maxAttempts = request.maxAttempts ?? this.#limits.maxAttempts;
    const wanted = AbortSignal.any([request.signal, this.#closed.signal]);
    for (let count = 1; ; count += 1) {
      try {
        wanted.throwIfAborted();
        return await takeTurn(() => untilAborted(attempt, this.#limitOf(request, wanted)), wanted);
      } catch (error) {
        if (wanted.aborted) throw this.#unwanted(request);
        if (error instanceof ProviderError) throw error;
        const failure = translateAwsError(error, operation, keyId);
        if (!failure.retryable || count >= maxAttempts) throw failure;
      }
      const longestMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (count - 1));
      // An abort ends the pause; the next round says what it means.
      await sleep(Math.random() * longestMs, undefined, { signal: wanted }).catch(() => undefined);
    }
  }

  /** Throws what {@link KmsRequests.send} would, after `close` and when the request's signal is aborted. */
  assertWanted(request: Request): void {
    if (this.#closed.signal.aborted || request.signal.aborted) throw this.#unwanted(request);
  }

  /** Makes every request under way, and every later one, fail with `PROVIDER_CLOSED`. */
  close(): void {
    this.#closed.abort();
  }

  #limitOf({ attemptTimeoutMs = this.#limits.attemptTimeoutMs }: Request, wanted: AbortSignal) {
    return AbortSignal.any([wanted, AbortSignal.timeout(attemptTimeoutMs)]);
  }

  #unwanted({ operation, keyId, signal }: Request): ProviderError {
    const subject = `${operation} on ${keyId}`;
    if (this.#closed.signal.aborted) {
      return new ProviderError('PROVIDER_CLOSED', `${subject}: the provider has been closed`);
    }
    if (isTimeout(signal)) {
      return new ProviderError(
        'PROVIDER_TIMEOUT',
        `${subject}: the request's deadline has passed`,
        {
          retryable: true,
        },
      );
    }
    return new ProviderError('REQUEST_ABORTED', `${subject}: nobody waits for the result any more`);
  }
}

const withoutWaiting: TakeTurn = (attempt) => attempt();

/** The SDK ignores the signal while it fetches credentials, so the waiting is ended here. */
async function untilAborted<Reply>(attempt: Attempt<Reply>, signal: AbortSignal): Promise<Reply> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([attempt(signal), aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
