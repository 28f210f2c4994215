import type { Principal } from '../auth/principal.ts';
import { type CodeOf, type ErrorData, SignerError } from '../errors.ts';
import { type Rational, formatRational } from '../pm/rational.ts';
import type { Refusal } from '../pm/refusal.ts';
import type { WindowUsage } from '../policy/limits/reserve.ts';
import { describeRefusal } from '../policy/describe-refusal.ts';

type RefusalContext = {
  readonly ruleId?: string | undefined;
  /** the principal, where it was established later than by the transport */
  readonly principal?: Principal | undefined;
  /** for the audit log only: others may share the windows, so callers are not told */
  readonly windows?: readonly WindowUsage[] | undefined;
  /** the message, where it differs from the refusal's own */
  readonly message?: string;
};

/** A rule refused the payment; nothing was signed. `code` is the stable id of the rule. */
export class RefusalError extends SignerError<CodeOf<'policy' | 'request'>> {
  readonly principal: Principal | undefined;
  readonly windows: readonly WindowUsage[] | undefined;

  constructor(refusal: Refusal, { ruleId, principal, windows, message }: RefusalContext = {}) {
    const data = { ...toErrorData(refusal.data), ...(ruleId !== undefined && { ruleId }) };
    super(refusal.code, message ?? describeRefusal(refusal), { data });
    this.principal = principal;
    this.windows = windows;
  }
}

/** The caller must fetch new ticket parameters or a new auth token from the orchestrator first. */
export class SessionRefreshError extends RefusalError {
  /** the orchestrator's service URL, as the caller named it */
  readonly orchestratorUrl: string;

  constructor(refusal: Refusal, orchestratorUrl: string) {
    super(refusal, { message: 'refresh session for remote signer' });
    this.orchestratorUrl = orchestratorUrl;
  }
}

function toErrorData(data: Refusal['data']): ErrorData {
  return Object.fromEntries(
    Object.entries(data as Record<string, string | number | bigint | Rational>).map(
      ([name, value]) => [name, toText(value)],
    ),
  );
}

function toText(value: string | number | bigint | Rational): string | number {
  if (typeof value === 'bigint') return value.toString();
  return typeof value === 'object' ? formatRational(value) : value;
}
