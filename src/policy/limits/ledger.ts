/** What a payment spends. */
export type Spend = {
  /** expected value in wei, rounded up to whole wei: against the spender */
  readonly ev: bigint;
  readonly tickets: bigint;
  /** 1 when the payment begins a session, else 0 */
  readonly sessions: bigint;
};

/** What may be spent in a window; what is absent has no limit. */
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

/** The session that a payment belongs to, where a rule limits what sessions spend: counted whatever state it goes on from. */
export type SessionCharge = {
  /** at most 64 characters; not for anybody to choose */
  readonly id: string;
  /** wei that its state says it has spent before; counts where the ledger knows of less */
  readonly spentEv: bigint;
  /** of the rules that match */
  readonly limits: readonly SessionLimit[];
};

export type ReserveOutcome =
  | {
      readonly kind: 'reserved';
      /** the rules in observe mode whose limit this payment goes over */
      readonly observed: readonly string[];
      /**
       * Gives the reservation back, or the `unused` part of it; only once. A release that fails loses budget until the window
       * has passed; it never throws.
       */
      release(unused?: Spend): Promise<void>;
    }
  | {
      readonly kind: 'exceeded';
      readonly ruleId: string;
      readonly limit: keyof Spend;
      readonly maximum: bigint;
      /** in how many ms each of the windows that refuse will have room, when nothing else is spent; at least 1 */
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
 * Remembers what was spent in which window. A reservation counts from the moment it is made, so settling it takes no
 * further call: what was reserved is what is signed. A crash before the signature loses budget, never money.
 */
export type SpendLedger = {
  /**
   * Adds `spend` to all windows and its expected value to the session, or to none when an enforced limit has no room: atomic among all requests, processes and
   * instances that share the ledger. Durable when it resolves. Throws `LEDGER_UNAVAILABLE`.
   */
  reserve(
    charges: readonly WindowCharge[],
    spend: Spend,
    signal: AbortSignal,
    session?: SessionCharge,
  ): Promise<ReserveOutcome>;
  /** What has been spent in each window so far. Throws `LEDGER_UNAVAILABLE`. */
  usage(charges: readonly WindowCharge[]): Promise<readonly Spend[]>;
  /** Whether it can be used right now; the problem's code when not. */
  checkHealth(): Promise<void>;
  close(): Promise<void>;
};
