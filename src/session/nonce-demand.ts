/** The nonces that a payment needs for its tickets. */
export type NonceDemand = {
  /** the identity of a sequence of nonces: sender and recipientRandHash, hashed to 16 bytes as hex */
  readonly ticketSession: string;
  /** how many; at least 1 */
  readonly count: number;
  /** the last nonce in the session's books, 0 for none: the nonces that are handed out come after it */
  readonly after: number;
  /** once the last nonce has reached this one, no more are handed out */
  readonly limit: number;
  /** how long the nonces must be remembered */
  readonly lifetimeMs: number;
  /** whose share of the room this takes */
  readonly holder: string;
};

export type NonceOutcome =
  /** the payment gets the `count` nonces that follow `lastNonce`; `isFirst` when nothing was remembered of the ticket session */
  | { readonly kind: 'taken'; readonly lastNonce: number; readonly isFirst: boolean }
  | { readonly kind: 'used-up'; readonly lastNonce: number }
  /** too many ticket sessions of this holder are remembered */
  | { readonly kind: 'no-room' };
