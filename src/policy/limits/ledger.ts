/** What a payment spends. */
export type Spend = {
  /** expected value in wei, rounded up to whole wei: against the spender */
  readonly ev: bigint;
  readonly tickets: bigint;
  /** 1 when the payment begins a session, else 0 */
  readonly sessions: bigint;
};

/** The most that may be spent in a window; what is absent has no limit. */
export type WindowLimits = Readonly<Partial<Record<keyof Spend, bigint>>>;

/** A window that a payment counts in. */
export type WindowCharge = {
  readonly ruleId: string;
  /** whose share of the rule's window it is, such as `tenant=acme`; '' where all share one */
  readonly scope: string;
  readonly windowMs: number;
  readonly limits: WindowLimits;
  /** false: counted and reported, never refused */
  readonly isEnforced: boolean;
};

/** What a rule allows a session to spend in all its payments, in wei of expected value. */
export type SessionLimit = {
  readonly ruleId: string;
  readonly maximum: bigint;
  /** false: reported, never refused */
  readonly isEnforced: boolean;
};

/**
 * The session that a payment belongs to, where a rule limits what sessions spend. It is counted however many copies of its state
 * are used.
 */
export type SessionCharge = {
  /** at most 64 characters; callers must not be able to choose it */
  readonly id: string;
  /** what its state says it has spent before, in wei; counts where the ledger knows of less */
  readonly spentEv: bigint;
  /** the limits of the rules that match */
  readonly limits: readonly SessionLimit[];
};

export type ReserveOutcome =
  | {
      readonly kind: 'reserved';
      /** the rules in observe mode whose limit this payment exceeds */
      readonly observed: readonly string[];
      /**
       * Gives back the reservation, or the `unused` part of it; may be called once. Where it fails, that part of the budget stays
       * used until the window has passed; it never throws.
       */
      release(unused?: Spend): Promise<void>;
    }
  | {
      readonly kind: 'exceeded';
      readonly ruleId: string;
      readonly limit: keyof Spend;
      readonly maximum: bigint;
      /** the milliseconds until each of the windows that refuse has room, if nothing else is spent; at least 1 */
      readonly retryAfterMs: number;
    }
  | {
      readonly kind: 'session-exceeded';
      readonly ruleId: string;
      readonly maximum: bigint;
      /** wei that the session has spent before */
      readonly spent: bigint;
    };

/**
 * Remembers what was spent in which window. A reservation counts from the moment it is made, and what was reserved is what is
 * signed, so settling it takes no further call. A crash before the signature loses budget, never money.
 */
export type SpendLedger = {
  /**
   * Adds `spend` to all windows and its expected value to the session, or to none of them when an enforced limit has no room.
   * This is atomic among all requests, processes and instances that share the ledger, and durable when it resolves. Throws
   * `LEDGER_UNAVAILABLE`.
   */
  reserve(
    charges: readonly WindowCharge[],
    spend: Spend,
    signal: AbortSignal,
    session?: SessionCharge,
  ): Promise<ReserveOutcome>;
  /** What has been spent in each of the windows. Throws `LEDGER_UNAVAILABLE`. */
  usage(charges: readonly WindowCharge[]): Promise<readonly Spend[]>;
  /** Resolves when the ledger can be used right now, and rejects with the problem when not. */
  checkHealth(): Promise<void>;
  close(): Promise<void>;
};
