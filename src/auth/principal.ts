/** Who asks, once that is established; policy rules, limits and the audit record go by it. */
export type Principal = {
  /** '' when nobody was authenticated */
  readonly id: string;
  /** whom the principal acts for; '' for none */
  readonly tenant: string;
  readonly attributes: Readonly<Record<string, string>>;
};

/** Whoever asks where no authentication is configured. */
export const anonymous: Principal = { id: '', tenant: '', attributes: {} };

/** The attribute that holds the address of the key which pays for a principal. */
export const payerAttribute = 'payer';

/**
 * The principal behind the auth webhook's `auth_id`, or a trusted proxy's `Signer-Auth-Id`. The tenant is what stands before
 * the first colon: the Livepeer clearinghouse writes `client:user`.
 */
export function principalOfAuthId(authId: string): Principal {
  if (authId === '') return anonymous;
  const colon = authId.indexOf(':');
  return { id: authId, tenant: colon < 0 ? '' : authId.slice(0, colon), attributes: {} };
}

/** The `auth_id` of a principal that the signer has authenticated, where nobody else names the payer; '' for none. */
export function authIdOf({ id, tenant }: Principal): string {
  return id === '' ? '' : `${tenant}:${id}`;
}
