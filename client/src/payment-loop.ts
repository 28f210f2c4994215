import { sleep } from './backoff.ts';
import {
  OrchestratorRefusalError,
  OrchestratorUnreachableError,
  SignerRefusalError,
  SignerUnreachableError,
} from './errors.ts';
import type { PaymentOutcome } from './payment-outcome.ts';

/** When to pay, and whom to tell. */
export type PaymentLoopOptions = {
  /** From the beginning of one payment to that of the next; orchestrators look after the balance every 5 s. */
  readonly everyMs: number;
  /** How long the first payment waits; 0 if left out. */
  readonly firstAfterMs?: number;
  readonly signal?: AbortSignal;
  readonly onOutcome?: (outcome: PaymentOutcome) => void;
  /** A cycle that failed for now: the loop goes on with the next one. */
  readonly onFailure?: (
    error: SignerRefusalError | SignerUnreachableError | OrchestratorUnreachableError,
  ) => void;
};

/** How a payment loop ended; `failed` is for good. */
export type PaymentLoopEnd =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** Payments that are made by the clock. */
export type PaymentLoop = {
  /** Ends the loop after the payment that is under way, and resolves when it has ended. */
  stop(): Promise<PaymentLoopEnd>;
  /** Never rejects. */
  readonly ended: Promise<PaymentLoopEnd>;
};

type Pay = (options: { readonly signal?: AbortSignal }) => Promise<PaymentOutcome>;

/** Pays every `everyMs` milliseconds until it is stopped or fails for good. */
export function startPaymentLoop(pay: Pay, options: PaymentLoopOptions): PaymentLoop {
  const stopped = new AbortController();
  const ended = run(pay, options, stopped.signal);
  return {
    ended,
    stop: () => {
      stopped.abort();
      return ended;
    },
  };
}

async function run(
  pay: Pay,
  { everyMs, firstAfterMs = 0, signal, onOutcome, onFailure }: PaymentLoopOptions,
  stopped: AbortSignal,
): Promise<PaymentLoopEnd> {
  const pausing = signal === undefined ? stopped : AbortSignal.any([signal, stopped]);
  let dueAt = performance.now() + firstAfterMs;
  try {
    for (;;) {
      await sleep(Math.max(0, dueAt - performance.now()), pausing);
      dueAt = Math.max(dueAt + everyMs, performance.now());
      try {
        const outcome = await pay({ ...(signal && { signal }) });
        onOutcome?.(outcome);
      } catch (error) {
        if (!isForNow(error)) throw error;
        onFailure?.(error);
        if (error instanceof SignerRefusalError && error.retryAfterMs !== undefined) {
          dueAt = Math.max(dueAt, performance.now() + error.retryAfterMs);
        }
      }
    }
  } catch (error) {
    if (signal?.aborted === true) return { kind: 'aborted' };
    if (stopped.aborted && error === stopped.reason) return { kind: 'stopped' };
    return { kind: 'failed', error };
  }
}

function isForNow(
  error: unknown,
): error is SignerRefusalError | SignerUnreachableError | OrchestratorUnreachableError {
  if (error instanceof OrchestratorRefusalError) return false;
  if (error instanceof SignerRefusalError) return [408, 429, 503].includes(error.status);
  return error instanceof SignerUnreachableError || error instanceof OrchestratorUnreachableError;
}
