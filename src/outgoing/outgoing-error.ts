/** Why a request to somebody else's URL gave nothing. */
export type OutgoingFailure =
  'address-refused' | 'unreachable' | 'timed-out' | 'status' | 'oversized' | 'malformed';

/** A request to somebody else's URL gave nothing; the message never quotes what the other side wrote. */
export class OutgoingError extends Error {
  readonly failure: OutgoingFailure;

  constructor(failure: OutgoingFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** The failure behind whatever a socket or a stream gave: refused by us, out of time, or not to be had. */
export function toOutgoingError(error: unknown, deadline: AbortSignal): OutgoingError {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof OutgoingError) return cause;
    // where a name has several addresses, Node gathers their errors
    if (cause instanceof AggregateError) {
      const refused: unknown = cause.errors.find((each) => each instanceof OutgoingError);
      if (refused instanceof OutgoingError) return refused;
    }
  }
  if (deadline.aborted) return new OutgoingError('timed-out', 'no whole answer in time');
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'connection failed';
  return new OutgoingError('unreachable', `can't be reached: ${code}`, { cause: error });
}
