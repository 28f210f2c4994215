import type { Caller } from '../auth/authorization.ts';
import { type Principal, principalOfAuthId } from '../auth/principal.ts';
import type { AnswerHolder } from '../session/answer-memory.ts';

/** Whose share of the memory of nonces it is: the tenant's; else the principal's; '' where nobody vouches for who asks. */
export function nonceHolder(caller: Caller, sessionAuthId: string): string {
  const { tenant, id } = payerOf(caller, sessionAuthId);
  if (tenant !== '') return `tenant:${tenant}`;
  return id === '' ? '' : `principal:${id}`;
}

/** Whose share of the memory of answers it is; where nobody vouches for who asks, the credential tells one from another. */
export function answerHolder(caller: Caller, sessionAuthId: string): AnswerHolder {
  const { tenant, id } = payerOf(caller, sessionAuthId);
  return { tenant, principal: id === '' ? caller.credentialHash : id };
}

function payerOf({ principal, authId }: Caller, sessionAuthId: string): Principal {
  if (principal.id !== '') return principal;
  return principalOfAuthId(authId === '' ? sessionAuthId : authId);
}
