import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AuthError } from './authorization.ts';
import { type AuthMethod, bearerTokens } from './authenticator.ts';
import type { Principal } from './principal.ts';

/** What the signer knows of an API key: not the key itself. */
export type ApiKey = {
  /** SHA-256 of the whole key, 32 bytes */
  readonly hash: Uint8Array;
  readonly principal: Principal;
  /** Unix milliseconds; undefined for a key that does not expire */
  readonly expiresAtMs: number | undefined;
  readonly isRevoked: boolean;
};

/** By key id. */
export type ApiKeys = ReadonlyMap<string, ApiKey>;

/** How a bearer token that is an API key begins. */
const prefix = 'lhs_';

const format = /^lhs_([A-Za-z0-9]{12,64})_[A-Za-z0-9_-]{43}$/;

/** What unknown keys are compared with. */
const noHash = new Uint8Array(32);

/** Makes an API key: `lhs_`, a random id, and a secret of 256 random bits in base64url. Only `hash` is to be kept. */
export function newApiKey(): { readonly id: string; readonly key: string; readonly hash: string } {
  const id = randomBytes(8).toString('hex');
  const key = `${prefix}${id}_${randomBytes(32).toString('base64url')}`;
  return { id, key, hash: hash('sha256', key, 'hex') };
}

/**
 * Authentication by API key, in `Authorization: Bearer` or `X-Api-Key`. `keys` is called for each request, so that a revoked key
 * counts no longer; `nowMs` is Unix milliseconds.
 */
export function createApiKeyMethod(keys: () => ApiKeys, nowMs: () => number): AuthMethod {
  return ({ headers }) => {
    const [presented, ...others] = [
      ...bearerTokens(headers).filter((token) => token.startsWith(prefix)),
      ...(headers.get('X-Api-Key') ?? []),
    ];
    if (presented === undefined) return undefined;
    if (others.length > 0) throw invalid('more than one API key was sent');

    const [, id] = format.exec(presented) ?? [];
    if (id === undefined) throw invalid('it is malformed');
    const known = keys().get(id);
    const isRight = timingSafeEqual(hash('sha256', presented, 'buffer'), known?.hash ?? noHash);
    if (!known) throw invalid(`there is no key ${id}`);
    if (!isRight) throw invalid(`wrong secret for key ${id}`);
    if (known.isRevoked) throw invalid(`key ${id} is revoked`);
    if (known.expiresAtMs !== undefined && known.expiresAtMs <= nowMs()) {
      throw new AuthError('CREDENTIAL_EXPIRED', 'the API key has expired', {
        details: `key ${id}`,
      });
    }
    return known.principal;
  };
}

/** The caller is not told which ids there are. */
function invalid(details: string): AuthError {
  return new AuthError('CREDENTIAL_INVALID', 'the API key is not valid', { details });
}
