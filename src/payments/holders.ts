import type { Caller } from '../auth/authorization.ts';
import { type Principal, principalOfAuthId } from '../auth/principal.ts';
import type { AnswerHolder } from '../session/answer-memory.ts';

/**
 * The holder whose share of the nonce memory it is: the tenant, or else the principal; '' for callers that nobody has
 * authenticated.
 */
export function nonceHolder(caller: Caller, sessionAuthId: string): string {
  const { tenant, id } = payerOf(caller, sessionAuthId);
  if (tenant !== '') return `tenant:${tenant}`;
  return id === '' ? '' : `principal:${id}`;
}

/**
 * The holder whose share of the answer memory it is; callers that nobody has authenticated are told apart by their credential.
 */
export function answerHolder(caller: Caller, sessionAuthId: string): AnswerHolder {
  const { tenant, id } = payerOf(caller, sessionAuthId);
  return { tenant, principal: id === '' ? caller.credentialHash : id };
}

function payerOf({ principal, authId }: Caller, sessionAuthId: string): Principal {
  if (principal.id !== '') return principal;
  return principalOfAuthId(authId === '' ? sessionAuthId : authId);
}
