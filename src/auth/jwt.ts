import {
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  jwtVerify,
} from 'jose';
import { type AuthMethod, bearerTokens } from './authenticator.ts';
import { isPrincipalName, principalNameForm } from './principal-name.ts';
import { AuthError } from './authorization.ts';
import { nameOf } from '../foreign-error.ts';
import { describeFetchFailure } from './fetch-failure.ts';
import type { Principal } from './principal.ts';

/** Whose tokens count, and what must be in them. */
export type JwtIssuer = {
  readonly issuer: string;
  readonly audience: string;
  /** where the issuer publishes its keys */
  readonly jwksUrl: string;
  readonly requiredScopes: readonly string[];
  readonly algorithms: readonly string[];
  /** the claim that holds the principal's id */
  readonly principalClaim: string;
  readonly tenantClaim?: string | undefined;
};

export type JwtOptions = {
  /** Unix milliseconds */
  readonly nowMs: () => number;
  /** for fetching an issuer's keys */
  readonly timeoutMs: number;
};

/** How far the issuer's clock may be ahead or behind. */
const clockToleranceSeconds = 5;
/** Keys that an issuer has withdrawn count no longer than this. */
const keysMaxAgeMs = 600_000;
/** bytes of an issuer's keys, which are some kilobytes: an answer without an end would take all memory */
const keysMaxBytes = 1_048_576;
/** Tokens that name an unknown key make the signer ask the issuer for its keys; at most once in this time. */
const unknownKeyPauseMs = 30_000;

/**
 * Authentication by signed JSON Web Tokens, in `Authorization: Bearer`. An issuer's keys are fetched when its first token comes,
 * and again when a token names an unknown key.
 */
export function createJwtMethod(issuers: readonly JwtIssuer[], options: JwtOptions): AuthMethod {
  const verifiers = new Map(
    issuers.map((issuer) => [issuer.issuer, createVerifier(issuer, options)] as const),
  );
  return async ({ headers }) => {
    const [token, ...others] = bearerTokens(headers).filter((token) => !token.startsWith('lhs_'));
    if (token === undefined) return undefined;
    if (others.length > 0) throw invalid('more than one token was sent');
    const verify = verifiers.get(readIssuer(token));
    if (!verify) throw invalid('its issuer is none of auth.jwt');
    return verify(token);
  };
}

/** What the token says, not yet verified. */
function readIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch (cause) {
    throw invalid('it is malformed', cause);
  }
}

function createVerifier(issuer: JwtIssuer, { nowMs, timeoutMs }: JwtOptions) {
  const getKey = fetchKeys(issuer.jwksUrl, timeoutMs);
  return async (token: string): Promise<Principal> => {
    const { payload } = await verifyWithAny(token, getKey, {
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms: [...issuer.algorithms],
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(nowMs()),
      requiredClaims: ['exp'],
    }).catch((error: unknown) => {
      throw describeRefusal(error);
    });
    requireScopes(payload, issuer.requiredScopes);
    const { principalClaim, tenantClaim } = issuer;
    return {
      id: readClaim(payload, principalClaim),
      tenant: tenantClaim === undefined ? '' : readClaim(payload, tenantClaim),
      attributes: {},
    };
  };
}

/** Tries each of the issuer's keys that could be the token's: several may have the same id, or the token name none. */
async function verifyWithAny(token: string, getKey: JWTVerifyGetKey, options: JWTVerifyOptions) {
  try {
    return await jwtVerify(token, getKey, options);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return await jwtVerify(token, key, options);
      } catch (refused) {
        if (!(refused instanceof errors.JWSSignatureVerificationFailed)) throw refused;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** The issuer's keys; what goes wrong with them is not the token's fault. */
function fetchKeys(url: string, timeoutMs: number): JWTVerifyGetKey {
  // a query may hold a secret
  const { origin, pathname } = new URL(url);
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: timeoutMs,
    cacheMaxAge: keysMaxAgeMs,
    cooldownDuration: unknownKeyPauseMs,
    [customFetch]: fetchBounded,
  });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (cause) {
      if (
        cause instanceof errors.JWKSNoMatchingKey ||
        cause instanceof errors.JWKSMultipleMatchingKeys
      ) {
        throw cause;
      }
      // the library's own errors tell what was wrong with an answer; where there was none, fetch knows why
      const failure = cause instanceof errors.JWKSTimeout ? cause.cause : cause;
      const reason =
        failure instanceof errors.JOSEError ? failure.message : describeFetchFailure(failure);
      throw new AuthError('AUTH_UNAVAILABLE', "the token issuer's keys can't be had", {
        details: `${origin}${pathname}: ${reason}`,
        retryable: true,
        cause,
      });
    }
  };
}

const fetchBounded: typeof fetch = async (url, options) => {
  const response = await fetch(url, options);
  if (response.status !== 200 || !response.body) return response;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // leaving the loop ends the connection
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > keysMaxBytes) throw new errors.JOSEError(`more than ${keysMaxBytes} bytes`);
    chunks.push(chunk);
  }
  return new Response(Buffer.concat(chunks));
};

/** The library's own messages name claims, never their values; those of other errors may quote the token. */
function describeJoseError(error: unknown): string {
  if (!(error instanceof errors.JOSEError)) return nameOf(error);
  // it would quote the extension's name, which the token's sender has chosen
  const isOfExtension = error.message.startsWith('Extension Header Parameter');
  return isOfExtension ? 'its header has a critical extension' : error.message;
}

function describeRefusal(error: unknown): AuthError {
  if (error instanceof AuthError) return error;
  if (error instanceof errors.JWTExpired) {
    return new AuthError('CREDENTIAL_EXPIRED', 'the token has expired', { cause: error });
  }
  return invalid(describeJoseError(error), error);
}

/** OAuth 2.0 writes `scope` as text with blanks; issuers write it, or `scp`, as text or as a list. */
function requireScopes({ scope, scp }: JWTPayload, required: readonly string[]): void {
  const granted = [scope, scp].flatMap((claim: unknown): unknown[] =>
    typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [],
  );
  const missing = required.filter((name) => !granted.includes(name));
  if (missing.length === 0) return;
  throw new AuthError('CREDENTIAL_NOT_PERMITTED', `the token lacks scope ${missing.join(' ')}`);
}

function readClaim(payload: JWTPayload, name: string): string {
  const value = payload[name];
  if (typeof value === 'string' && isPrincipalName(value)) return value;
  throw invalid(`its claim ${name} is no text of ${principalNameForm}`);
}

function invalid(details: string, cause?: unknown): AuthError {
  return new AuthError('CREDENTIAL_INVALID', 'the token is not valid', { details, cause });
}
