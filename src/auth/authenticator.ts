import { AuthError, type Caller } from './authorization.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { type Principal, anonymous } from './principal.ts';

/** What a caller presents to prove who it is. */
export type Credentials = {
  /** in Go's spelling */
  readonly headers: Caller['headers'];
  readonly certificate: ClientCertificate | undefined;
};

/**
 * One way to prove an identity. Gives undefined where nothing was presented for it. Throws {@link AuthError} where what was
 * presented is not valid.
 */
export type AuthMethod = (
  credentials: Credentials,
) => Principal | undefined | Promise<Principal | undefined>;

/**
 * The principal that the credentials prove. Where they are not `required`, a caller without any is `anonymous`. Throws {@link
 * AuthError}.
 */
export type Authenticator = (
  credentials: Credentials,
  demand: 'required' | 'optional',
) => Promise<Principal>;

/**
 * Combines methods: what is presented for any of them must be valid, and the principal is the one of the first method in
 * `methods` for which something was presented. Without methods everybody is `anonymous`.
 */
export function createAuthenticator(methods: readonly AuthMethod[]): Authenticator {
  return async (credentials, demand) => {
    let principal: Principal | undefined;
    for (const method of methods) {
      const proven = await method(credentials);
      principal ??= proven;
    }
    if (principal) return principal;
    if (methods.length === 0 || demand === 'optional') return anonymous;
    throw new AuthError('CREDENTIAL_MISSING', 'a credential is required');
  };
}

/** The tokens of `Authorization: Bearer`, as many as there are such headers. */
export function bearerTokens(headers: Caller['headers']): string[] {
  return (headers.get('Authorization') ?? []).flatMap((value) => {
    const bearer = /^Bearer(?: +(.*))?$/i.exec(value);
    return bearer ? [bearer[1] ?? ''] : [];
  });
}
