import type { AuthMethod } from './authenticator.ts';
import { AuthError } from './authorization.ts';
import { isSameName } from './distinguished-name.ts';
import type { Principal } from './principal.ts';

/** Whose certificate it is: either by its subject, or by one of its alternative names, which are compared as they are. */
export type CertificateRule = {
  readonly subject?: string | undefined;
  readonly san?: string | undefined;
  readonly principal: Principal;
};

/**
 * Authentication by client certificate. The first of `rules` that matches names the principal; `nowMs` is Unix milliseconds. A
 * connection may outlive its certificate, so the expiry is checked for each request.
 */
export function createCertificateMethod(
  rules: readonly CertificateRule[],
  nowMs: () => number,
): AuthMethod {
  return ({ certificate }) => {
    if (!certificate) return undefined;
    const { subject, altNames, problem, expiresAtMs } = certificate;
    const details = `${subject}, ${certificate.fingerprint}`;
    if (problem === 'CERT_HAS_EXPIRED' || expiresAtMs <= nowMs()) {
      throw new AuthError('CREDENTIAL_EXPIRED', 'the client certificate has expired', { details });
    }
    if (problem !== undefined) {
      throw new AuthError('CREDENTIAL_INVALID', 'the client certificate is not valid', {
        details: `${problem}: ${details}`,
      });
    }
    const rule = rules.find((rule) =>
      rule.san === undefined
        ? isSameName(rule.subject ?? '', subject)
        : altNames.includes(rule.san),
    );
    if (rule) return rule.principal;
    throw new AuthError('CREDENTIAL_NOT_PERMITTED', 'the client certificate is of no principal', {
      details,
    });
  };
}
