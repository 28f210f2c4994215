/** What a request to somebody else's URL may take. */
export type OutgoingLimits = {
  /** from the lookup of the name to the last byte of the answer */
  readonly timeoutMs: number;
  /** of the answer */
  readonly maxBytes: number;
  /** Whether the certificate must be vouched for by an authority that this machine trusts. */
  readonly verifyTls: boolean;
  /** aborted when the answer is no longer wanted */
  readonly signal: AbortSignal;
};
