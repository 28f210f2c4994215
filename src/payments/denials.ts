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

/** The facts of the request that the decision was made on, by name. */
export type SeenByDecision = Pick<GrantReason, 'amounts' | 'subject' | 'models' | 'usage'>;

/** Records a denial; never throws, and nobody waits for it. */
export type DenialRecorder = (denial: Denial) => void;

/**
 * Refusals that are not recorded: those that the protocol causes all the time (fetch new parameters, or pay nothing for now), and
 * those that everybody gets alike.
 */
const unrecorded: ReadonlySet<string> = new Set([
  'AUTH_TOKEN_EXPIRING',
  'TICKET_PARAMS_EXPIRED',
  'NONCES_USED_UP',
  'NO_TICKETS_DUE',
  'SIGNING_PAUSED',
]);

/** Whether an error is the refusal of a guardrail or of an authorizer. */
export function isDenial(error: unknown): error is SignerError {
  if (!isSignerError(error) || unrecorded.has(error.code)) return false;
  const family = errorFamilies[error.code];
  return family === 'policy' || family === 'caller';
}
