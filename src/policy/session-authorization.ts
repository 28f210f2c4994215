import { authIdOf } from '../auth/principal.ts';
import { AuthError, type Authorization, type Caller } from '../auth/authorization.ts';
import { parseMaxPrice } from '../pm/price-ceilings.ts';
import type { Refusal } from '../pm/refusal.ts';
import type { SessionState } from '../pm/session-state.ts';
import { describeRefusal } from './describe-refusal.ts';
import { type PaymentProposal, refuseAboveCeilings } from './proposal.ts';

/** Throws `CREDENTIAL_NOT_PERMITTED` when the session was begun by another principal. */
export function requireOwner({ principal }: SessionState, caller: Caller): void {
  if (principal === undefined || principal === caller.principal.id) return;
  throw new AuthError('CREDENTIAL_NOT_PERMITTED', 'the session belongs to another principal');
}

/**
 * Whether the webhook's earlier answer still holds: it has not expired, and was given for the same credential, where the state
 * says for which. It never holds for a caller who sent no credential.
 */
export function isStillAuthorized(books: SessionState, caller: Caller, now: bigint): boolean {
  const { credentialHash } = caller;
  const nowSeconds = now / 1_000_000_000n;
  const isSameCaller = [undefined, credentialHash].includes(books.credentialHash);
  const isSent = credentialHash !== '';
  return books.authExpiry !== 0n && nowSeconds <= books.authExpiry && isSent && isSameCaller;
}

/** Throws `AUTH_WEBHOOK_ANSWER_INVALID` for a `maxPrice` that can't be used. */
export function refuseAboveWebhookCeiling(
  proposal: PaymentProposal,
  { maxPrice }: Authorization,
): Refusal | undefined {
  if (!maxPrice) return undefined;
  const maximum = parseMaxPrice(maxPrice, proposal.type);
  if ('code' in maximum) {
    throw new AuthError(
      'AUTH_WEBHOOK_ANSWER_INVALID',
      `signer auth invalid maxPrice: ${describeRefusal(maximum)}`,
    );
  }
  return refuseAboveCeilings(proposal, [{ source: 'auth webhook maxPrice', maximum }]);
}

/**
 * The books with the payer and the expiry of the webhook's answer. Throws `AUTH_ID_CHANGED`: a session never changes its payer.
 */
export function withAuthorization(
  books: SessionState,
  caller: Caller,
  authorization: Authorization | undefined,
): SessionState {
  const { id } = caller.principal;
  const given = authorization?.authId ?? '';
  const named = given === '' ? caller.authId : given;
  const own = authIdOf(caller.principal);
  // a payer that the signer itself named is replaced by whoever else names one
  const before = books.authId === own ? '' : books.authId;
  if (named !== '' && before !== '' && named !== before) {
    throw new AuthError('AUTH_ID_CHANGED', 'remote signer auth ID changed');
  }
  return {
    ...books,
    authId: [named, before, own].find((authId) => authId !== '') ?? '',
    ...(id !== '' && { principal: id }),
    ...(authorization && {
      authExpiry: authorization.expiry,
      credentialHash: caller.credentialHash,
    }),
  };
}
