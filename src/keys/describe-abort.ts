import { type SignerError, isSignerError } from '../errors.ts';
import { ProviderError } from './provider.ts';

/** Whether the signal's time was up, as opposed to nobody waiting any more. */
export function isTimeout({ reason }: { readonly reason: unknown }): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}

/** What a call that `signal` ended fails with; a reason that is one of our own errors stands for itself. */
export function describeAbort(name: string, signal: AbortSignal): SignerError {
  if (isSignerError(signal.reason)) return signal.reason;
  return isTimeout(signal)
    ? new ProviderError('PROVIDER_TIMEOUT', `${name} did not answer before the deadline`, {
        retryable: true,
      })
    : new ProviderError('REQUEST_ABORTED', `nobody waits for ${name} any more`);
}
