/** Why a request to somebody else's URL failed. */
export type OutgoingFailure =
  'address-refused' | 'unreachable' | 'timed-out' | 'status' | 'oversized' | 'malformed';

/** A request to somebody else's URL failed; the message never quotes what the other side wrote. */
export class OutgoingError extends Error {
  readonly failure: OutgoingFailure;

  constructor(failure: OutgoingFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** Translates an error of a socket or a stream: refused by us, out of time, or unreachable. */
export function toOutgoingError(error: unknown, deadline: AbortSignal): OutgoingError {
  let code = 'connection failed';
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof OutgoingError) return cause;
    if ('code' in cause) code = String(cause.code);
  }
  if (deadline.aborted) return new OutgoingError('timed-out', 'no whole answer in time');
  return new OutgoingError('unreachable', `can't be reached: ${code}`, { cause: error });
}
