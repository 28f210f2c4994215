import { WebhookRejectionError } from '../auth/authorization.ts';
import { type ErrorCode, type ErrorFamily, errorFamilies, isSignerError } from '../errors.ts';

/** Statuses of the remote-signer protocol that HTTP does not define. */
const refreshSession = 480;
const priceExceeded = 481;
const noTickets = 482;

const statusOfFamily: Readonly<Record<ErrorFamily, number>> = {
  request: 400,
  policy: 400,
  caller: 500,
  records: 503,
  chain: 503,
  discovery: 503,
  provider: 503,
  server: 503,
  config: 500,
  internal: 500,
};

const statusOfCode: Readonly<Partial<Record<ErrorCode, number>>> = {
  SIGNING_PAUSED: 503,
  BODY_TOO_LARGE: 413,
  BODY_LATE: 408,
  AUTH_TOKEN_EXPIRING: refreshSession,
  TICKET_PARAMS_EXPIRED: refreshSession,
  NONCES_USED_UP: refreshSession,
  PRICE_ABOVE_CEILING: priceExceeded,
  NO_TICKETS_DUE: noTickets,
  IDEMPOTENCY_KEY_REUSED: 422,
  DISCOVERY_RATE_EXCEEDED: 429,
  RULE_DENIED: 403,
  NO_RULE_ALLOWS: 403,
  RULE_LIMIT_EXCEEDED: 403,
  WINDOW_EXHAUSTED: 429,
  STATE_FORKED: 403,
  CREDENTIAL_MISSING: 401,
  CREDENTIAL_INVALID: 401,
  CREDENTIAL_EXPIRED: 401,
  CREDENTIAL_NOT_PERMITTED: 403,
  AUTH_UNAVAILABLE: 503,
  AUTH_WEBHOOK_ANSWER_INVALID: 502,
};

/** The HTTP status of a code; the webhook's own refusals carry theirs. */
export function statusOf(code: ErrorCode): number {
  return statusOfCode[code] ?? statusOfFamily[errorFamilies[code]];
}

/** The HTTP status of whatever a handler threw: 500 for what is not one of our errors. */
export function statusOfError(error: unknown): number {
  if (error instanceof WebhookRejectionError) return error.status;
  return isSignerError(error) ? statusOf(error.code) : 500;
}
