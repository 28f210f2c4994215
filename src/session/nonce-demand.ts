/** The nonces that a payment needs for its tickets. */
export type NonceDemand = {
  /** what has nonces of its own: sender and recipientRandHash, hashed to 16 bytes as hex */
  readonly ticketSession: string;
  /** how many; at least 1 */
  readonly count: number;
  /** the last one that the session's books know of, 0 for none: those that are handed out come after it */
  readonly after: number;
  /** when the last one is from here on, none is handed out */
  readonly limit: number;
  /** how long it must be remembered */
  readonly lifetimeMs: number;
  /** whose share of the room it takes */
  readonly holder: string;
};

export type NonceOutcome =
  /** the payment's are the `count` that follow `lastNonce`; `isFirst` when nothing was remembered of the ticket session */
  | { readonly kind: 'taken'; readonly lastNonce: number; readonly isFirst: boolean }
  | { readonly kind: 'used-up'; readonly lastNonce: number }
  /** too many ticket sessions of this holder are remembered */
  | { readonly kind: 'no-room' };
