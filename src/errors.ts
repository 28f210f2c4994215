/**
 * Every stable error code of the product, with the family it belongs to. Codes are never renamed or reused;
 * `docs/errors.md` describes each one and a test holds the two together. HTTP statuses are looked up in
 * `src/http/status.ts`, nowhere else.
 */
export const errorFamilies = {
  // request: what the caller sent can't be served
  BODY_MALFORMED: 'request',
  BODY_TOO_LARGE: 'request',
  BODY_LATE: 'request',
  ORCHESTRATOR_MISSING: 'request',
  ORCHESTRATOR_MALFORMED: 'request',
  PRICE_INFO_INVALID: 'request',
  TICKET_PARAMS_MISSING: 'request',
  TICKET_PARAMS_MALFORMED: 'request',
  STATE_SIGNATURE_INVALID: 'request',
  STATE_MALFORMED: 'request',
  STATE_ORCHESTRATOR_MISMATCH: 'request',
  STATE_APP_MISMATCH: 'request',
  STATE_TYPE_MISMATCH: 'request',
  STATE_RECIPIENT_MISMATCH: 'request',
  STATE_PRICE_INVALID: 'request',
  SENDER_UNKNOWN: 'request',
  MANIFEST_ID_MISSING: 'request',
  MANIFEST_ID_INVALID: 'request',
  MANIFEST_ID_MISMATCH: 'request',
  APP_TOO_LONG: 'request',
  BYOC_JOB_INVALID: 'request',
  ANSWER_TOO_LARGE: 'request',
  CAPABILITIES_MALFORMED: 'request',
  AUTH_TOKEN_MISSING: 'request',
  JOB_TYPE_UNKNOWN: 'request',
  NOTHING_TO_BILL: 'request',
  MAX_PRICE_INVALID: 'request',
  IDEMPOTENCY_KEY_INVALID: 'request',
  IDEMPOTENCY_KEY_REUSED: 'request',

  // policy: a guardrail said no
  SIGNING_PAUSED: 'policy',
  AUTH_TOKEN_EXPIRING: 'policy',
  TICKET_PARAMS_EXPIRED: 'policy',
  NONCES_USED_UP: 'policy',
  EXPIRATION_BLOCK_ZERO: 'policy',
  FACE_VALUE_TOO_LOW: 'policy',
  TICKET_EV_ABOVE_MAXIMUM: 'policy',
  SENDER_UNLOCKING: 'policy',
  RESERVE_EMPTY: 'policy',
  DEPOSIT_EMPTY: 'policy',
  FACE_VALUE_ABOVE_MAXIMUM: 'policy',
  PRICE_ABOVE_CEILING: 'policy',
  NO_TICKETS_DUE: 'policy',
  TICKET_COUNT_ABOVE_MAXIMUM: 'policy',
  TOTAL_EV_ABOVE_MAXIMUM: 'policy',
  RULE_DENIED: 'policy',
  NO_RULE_ALLOWS: 'policy',
  RULE_LIMIT_EXCEEDED: 'policy',
  WINDOW_EXHAUSTED: 'policy',
  STATE_FORKED: 'policy',
  TRANSACTION_NOT_ALLOWED: 'policy',
  TRANSACTION_FEE_ABOVE_MAXIMUM: 'policy',

  // caller: the caller is refused, or its identity can't be established
  CREDENTIAL_MISSING: 'caller',
  CREDENTIAL_INVALID: 'caller',
  CREDENTIAL_EXPIRED: 'caller',
  CREDENTIAL_NOT_PERMITTED: 'caller',
  AUTH_UNAVAILABLE: 'caller',
  AUTH_WEBHOOK_REJECTED: 'caller',
  AUTH_WEBHOOK_FAILED: 'caller',
  AUTH_WEBHOOK_ANSWER_INVALID: 'caller',
  AUTH_ID_CHANGED: 'caller',

  // records: what the signer must remember can't be read or written
  LEDGER_UNAVAILABLE: 'records',
  ANSWERS_UNAVAILABLE: 'records',
  NONCES_WITHOUT_ROOM: 'records',
  AUDIT_UNAVAILABLE: 'records',
  SIGNING_SWITCH_UNAVAILABLE: 'records',
  EVENTS_UNAVAILABLE: 'records',

  // chain: too little is known of the chain, or it does not allow an answer
  CHAIN_FACTS_UNAVAILABLE: 'chain',
  PRICE_FEED_UNAVAILABLE: 'chain',
  ETHER_INSUFFICIENT: 'chain',
  TRANSACTION_REVERTED: 'chain',
  TRANSACTION_UNCONFIRMED: 'chain',

  // discovery: orchestrators can't be named
  DISCOVERY_UNAVAILABLE: 'discovery',
  DISCOVERY_RATE_EXCEEDED: 'discovery',

  // provider: the key, or the device that holds it
  KEY_NOT_FOUND: 'provider',
  KEY_AMBIGUOUS: 'provider',
  KEY_UNSUITABLE: 'provider',
  KEY_ACCESS_DENIED: 'provider',
  KEY_ALREADY_EXISTS: 'provider',
  PROVIDER_MISSING: 'provider',
  PROVIDER_UNAVAILABLE: 'provider',
  PROVIDER_THROTTLED: 'provider',
  PROVIDER_TIMEOUT: 'provider',
  PROVIDER_CLOSED: 'provider',
  PROVIDER_REPLY_INVALID: 'provider',
  STATE_DELEGATION_ENDED: 'provider',
  REQUEST_ABORTED: 'provider',

  // config: the operator's settings
  CONFIG_INVALID: 'config',
  SECRET_UNREADABLE: 'config',

  // server: the process itself can't serve now
  SERVER_OVERLOADED: 'server',
  SERVER_STARTING: 'server',
  SERVER_STOPPING: 'server',
  WORKER_UNRESPONSIVE: 'server',

  // internal: a defect of this program
  GRANT_INVALID: 'internal',
  INTERNAL: 'internal',
} as const;

export type ErrorCode = keyof typeof errorFamilies;

export type ErrorFamily = (typeof errorFamilies)[ErrorCode];

/** The codes of one family, so that a subclass can take only its own. */
export type CodeOf<Family extends ErrorFamily> = {
  [Code in ErrorCode]: (typeof errorFamilies)[Code] extends Family ? Code : never;
}[ErrorCode];

/**
 * What an error is about, beside its message: for log lines, audit records and tests. Amounts are exact decimal text, wei
 * where nothing else is said, or a fraction "n/d". Names are never reused for something else.
 */
export type ErrorData = {
  /** the rule of the policy file that refused */
  readonly ruleId?: string;
  /** which of a rule's limits, and what it allows */
  readonly limit?: string;
  readonly maximum?: string;
  /** what was found instead of `maximum` or `expected` */
  readonly actual?: string;
  readonly expected?: string;
  /** where a price ceiling comes from */
  readonly source?: string;
  /** the field of the request, or the path of the setting, that is wrong */
  readonly field?: string;
  /** the status that another service answered with */
  readonly serviceStatus?: number;
  /** seconds after which the same request may succeed */
  readonly retryAfterSeconds?: number;
  readonly [name: string]: string | number | boolean | undefined;
};

export type ErrorOptions = {
  readonly data?: ErrorData | undefined;
  /** For the operator's log only; never sent to a caller. Must not hold a secret. */
  readonly details?: string;
  /** Whether the same request may succeed later without any change. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
};

/** Base of every error this program throws on purpose. `message` is safe to show to the caller. */
export class SignerError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code;
  readonly data: ErrorData;
  readonly details: string | undefined;
  readonly retryable: boolean;

  constructor(code: Code, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.data = options.data ?? {};
    this.details = options.details;
    this.retryable = options.retryable ?? false;
  }
}

/** Whether a caught value is one of this program's own errors. */
export function isSignerError(thrown: unknown): thrown is SignerError {
  return thrown instanceof SignerError;
}

/** Whether signing is stopped: an operator wants it so, or it can't be known whether one does. */
export function isSigningStopped(
  thrown: unknown,
): thrown is SignerError<'SIGNING_PAUSED' | 'SIGNING_SWITCH_UNAVAILABLE'> {
  return (
    isSignerError(thrown) &&
    (thrown.code === 'SIGNING_PAUSED' || thrown.code === 'SIGNING_SWITCH_UNAVAILABLE')
  );
}

/** What the caller sent can't be served. */
export class RequestError extends SignerError<CodeOf<'request'>> {}

/** The spend ledger, the answer memory or the audit log can't be used; nothing may be signed then. */
export class RecordsError extends SignerError<CodeOf<'records'>> {}

/** A setting is missing, unknown or contradictory; the message names its path and what to do. */
export class ConfigError extends SignerError<CodeOf<'config'>> {}

/** The process can't serve a request now that it could serve at another time. */
export class ServerError extends SignerError<CodeOf<'server'>> {}

/** A state this program must never be in. */
export class InternalError extends SignerError<CodeOf<'internal'>> {}
