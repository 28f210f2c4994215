import type { Caller } from '../auth/authorization.ts';
import { type SignerError, errorFamilies, isSignerError } from '../errors.ts';
import type { GrantReason } from '../keys/grant.ts';

/** A payment or BYOC job that was refused, for the audit log. */
export type Denial = {
  readonly error: SignerError;
  readonly requestId: string;
  readonly caller: Caller;
  /** the address that would have paid; undefined where none was chosen */
  readonly sender: string | undefined;
  readonly seen: SeenByDecision;
};

/** What the decision saw of the request, by name. */
export type SeenByDecision = Pick<GrantReason, 'amounts' | 'subject' | 'models' | 'usage'>;

/** Records a denial; never throws, and nobody waits for it. */
export type DenialRecorder = (denial: Denial) => void;

/** What the protocol has clients do all the time: fetch new parameters, or pay nothing for now; and what is refused to all alike. */
const unrecorded: ReadonlySet<string> = new Set([
  'AUTH_TOKEN_EXPIRING',
  'TICKET_PARAMS_EXPIRED',
  'NONCES_USED_UP',
  'NO_TICKETS_DUE',
  'SIGNING_PAUSED',
]);

/** Whether an error is a guardrail's, or an authoriser's, no. */
export function isDenial(error: unknown): error is SignerError {
  if (!isSignerError(error) || unrecorded.has(error.code)) return false;
  const family = errorFamilies[error.code];
  return family === 'policy' || family === 'caller';
}
