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
 * One way to prove who one is. Gives undefined where nothing was presented for it. Throws {@link AuthError} for what was
 * presented and is not valid.
 */
export type AuthMethod = (
  credentials: Credentials,
) => Principal | undefined | Promise<Principal | undefined>;

/**
 * Whom the credentials prove the caller to be. Where they are not `required`, a caller without any is `anonymous`. Throws
 * {@link AuthError}.
 */
export type Authenticator = (
  credentials: Credentials,
  demand: 'required' | 'optional',
) => Promise<Principal>;

/**
 * Combines methods: whatever is presented for any of them must be valid, and the first one in `methods` that something was
 * presented for names the principal. Without methods everybody is `anonymous`.
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
