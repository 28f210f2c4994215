import { type SignerError, isSignerError } from '../errors.ts';
import { ProviderError } from './provider.ts';

/** Whether the signal was aborted by a time-out, and not because nobody waits any more. */
export function isTimeout({ reason }: { readonly reason: unknown }): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}

/** The error of a call that `signal` ended. Where the reason is one of our own errors, it is that error. */
export function describeAbort(name: string, signal: AbortSignal): SignerError {
  if (isSignerError(signal.reason)) return signal.reason;
  return isTimeout(signal)
    ? new ProviderError('PROVIDER_TIMEOUT', `${name} did not answer before the deadline`, {
        retryable: true,
      })
    : new ProviderError('REQUEST_ABORTED', `nobody waits for ${name} any more`);
}
