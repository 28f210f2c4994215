/** The limits of a request to somebody else's URL. */
export type OutgoingLimits = {
  /** from the lookup of the name to the last byte of the answer */
  readonly timeoutMs: number;
  /** bytes of the answer */
  readonly maxBytes: number;
  /** Whether the server's certificate must come from an authority that this machine trusts. */
  readonly verifyTls: boolean;
  /** aborted when the answer is no longer wanted */
  readonly signal: AbortSignal;
};
