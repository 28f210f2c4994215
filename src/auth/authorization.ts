import { type CodeOf, SignerError } from '../errors.ts';
import type { MaxPrice } from '../pm/price-ceilings.ts';
import type { SessionState } from '../pm/session-state.ts';
import type { TraceContext } from '../trace-context.ts';
import type { Principal } from './principal.ts';

/** Who asks, as far as the transport tells. */
export type Caller = {
  /** every request header, in Go's spelling, with all its values */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** `Signer-Auth-Id` from a trusted proxy; '' from anyone else */
  readonly authId: string;
  /** SHA-256 of the caller's credential headers and client certificate, hex; '' when it sent none */
  readonly credentialHash: string;
  /** whom the credentials prove the caller to be; `anonymous` itself where none is asked for */
  readonly principal: Principal;
  /** its own word on what its request belongs to; nothing is decided by it */
  readonly trace?: TraceContext;
};

/** Whether the transport tells anything of who the caller is. */
export function isKnown({ principal, authId, credentialHash }: Caller): boolean {
  return principal.id !== '' || authId !== '' || credentialHash !== '';
}

/** What an authoriser said yes to. */
export type Authorization = {
  /** Unix seconds up to which the answer may be used again; 0 for this payment only */
  readonly expiry: bigint;
  /** who pays, in the authoriser's words; '' when it did not say */
  readonly authId: string;
  readonly maxPrice: MaxPrice | undefined;
};

/**
 * Asks an outside service whether `caller` may make the payment that leads to the books `projected`. Nothing is signed
 * yet. Throws {@link AuthError} when it says no or can't be asked.
 */
export type PaymentAuthorizer = (
  caller: Caller,
  projected: SessionState,
  signal: AbortSignal,
) => Promise<Authorization>;

/** The caller is refused, or who it is can't be established. */
export class AuthError extends SignerError<CodeOf<'caller'>> {}

/** The auth webhook's own refusal, passed on with its status (400 to 599). */
export class WebhookRejectionError extends AuthError {
  readonly status: number;
  /** the webhook's own `code`, for the client's program; undefined where it gave none */
  readonly webhookCode: string | undefined;

  constructor(status: number, reason: string, webhookCode?: string) {
    super('AUTH_WEBHOOK_REJECTED', reason, { data: { serviceStatus: status, webhookCode } });
    this.status = status;
    this.webhookCode = webhookCode;
  }
}
