import type { CodeOf } from '../errors.ts';
import type { Rational } from './rational.ts';

/** Where a price ceiling comes from, in go-livepeer's words, which callers read in the refusal. */
export type CeilingSource =
  | 'configured maximum price'
  | 'request maxPrice'
  | 'initial session price'
  | 'auth webhook maxPrice';

/** wei, or wei per billing unit */
type Wei = bigint | Rational;

/** A value, and the most or the least that it may be. */
type Bound<Value> = { readonly actual: Value; readonly maximum: Value };

/** What each refusal is about. Blocks and rounds are those of L1; `ruleId` names a rule of the policy file. */
type RefusalData = {
  AUTH_TOKEN_MISSING: object;
  AUTH_TOKEN_EXPIRING: { readonly expiresAtSeconds: bigint };
  TICKET_PARAMS_MALFORMED: {
    readonly field: 'faceValue' | 'winProb' | 'creationRound' | 'recipient';
  };
  TICKET_PARAMS_EXPIRED: { readonly expirationBlock: bigint; readonly l1Block: bigint };
  NONCES_USED_UP: { readonly nonce: number };
  EXPIRATION_BLOCK_ZERO: object;
  FACE_VALUE_TOO_LOW: { readonly actual: bigint };
  TICKET_EV_ABOVE_MAXIMUM: Bound<Rational>;
  SENDER_UNLOCKING: { readonly withdrawRound: bigint };
  RESERVE_EMPTY: object;
  DEPOSIT_EMPTY: object;
  FACE_VALUE_ABOVE_MAXIMUM: Bound<bigint>;
  TOTAL_EV_ABOVE_MAXIMUM: Bound<Rational> & { readonly tickets: bigint };

  JOB_TYPE_UNKNOWN: object;
  NOTHING_TO_BILL: object;
  MAX_PRICE_INVALID:
    | { readonly field: 'price' | 'currency' | 'type' }
    | { readonly field: 'unit'; readonly type: string; readonly unit: string };
  /** its length in bytes or its beginning could be mistaken for something else that is signed */
  MANIFEST_ID_INVALID: { readonly length: number } | { readonly start: string };
  /** bytes of the whole job */
  BYOC_JOB_INVALID: { readonly length: number };

  PRICE_ABOVE_CEILING: Bound<Rational> &
    ({ readonly source: CeilingSource } | { readonly source: 'rule'; readonly ruleId: string });
  NO_TICKETS_DUE: object;
  TICKET_COUNT_ABOVE_MAXIMUM: Bound<bigint>;

  RULE_DENIED: { readonly ruleId: string };
  NO_RULE_ALLOWS: { readonly kind?: 'byocJob' };
  RULE_LIMIT_EXCEEDED: { readonly ruleId: string } & (
    | (Bound<Wei> & { readonly limit: 'ticketEv' | 'totalEv' | 'faceValue' | 'sessionEv' })
    | (Bound<bigint> & { readonly limit: 'tickets' })
    | { readonly limit: 'sessionDuration' | 'sessionIdle'; readonly maximumMs: number }
    | (Bound<bigint> & {
        readonly limit: 'windowEv' | 'windowTickets' | 'windowSessions';
        readonly windowMs: number;
      })
  );
  WINDOW_EXHAUSTED: {
    readonly ruleId: string;
    readonly limit: 'ev' | 'tickets' | 'sessions';
    readonly maximum: bigint;
    readonly windowMs: number;
    /** whose share of the window it is, such as `tenant=acme`; '' where all share one */
    readonly scope: string;
    /** the time until there is room, if nobody else pays; absent where it is not known */
    readonly retryAfterSeconds?: number;
  };
  STATE_FORKED: object;

  TRANSACTION_NOT_ALLOWED:
    | { readonly field: 'transaction' | 'function' }
    | ({ readonly field: 'chainId' } & Record<'actual' | 'expected', number>)
    | ({ readonly field: 'broker' } & Record<'actual' | 'expected', string>);
  TRANSACTION_FEE_ABOVE_MAXIMUM: Bound<bigint>;
};

type RefusalCode = CodeOf<'policy' | 'request'> & keyof RefusalData;

/** A refusal as a value: its stable reason code, and the facts behind it. */
export type Refusal = {
  [Code in RefusalCode]: { readonly code: Code; readonly data: RefusalData[Code] };
}[RefusalCode];

/** The refusals of one code. */
export type RefusalOf<Code extends RefusalCode> = Extract<Refusal, { readonly code: Code }>;
