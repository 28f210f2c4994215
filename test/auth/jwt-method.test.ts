import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuthError } from '../../src/auth/authorization.ts';
import { type JwtIssuer, createJwtMethod } from '../../src/auth/jwt.ts';
import { principalNameForm } from '../../src/auth/principal-name.ts';
import { audience, issuer } from './auth-world.ts';
import { type Claims, JwksServer, newIssuerKey, signToken } from './jwks-server.ts';

const key = newIssuerKey('one', 'ES256');
const stranger = newIssuerKey('one', 'ES256');
const jwks = new JwksServer();
beforeAll(async () => {
  await jwks.start();
  jwks.publish(key);
});
afterAll(() => jwks.stop());

/** A token of these claims that runs from 1,000 to 2,000 s, shown at `nowMs`. */
function show(claims: Claims = {}, nowMs = 1_500_000, rules: Partial<JwtIssuer> = {}, by = key) {
  const method = createJwtMethod(
    [
      {
        ...{ issuer, audience, jwksUrl: jwks.url, requiredScopes: [], algorithms: ['ES256'] },
        principalClaim: 'sub',
        ...rules,
      },
    ],
    { nowMs: () => nowMs, timeoutMs: 5_000 },
  );
  const usual = { iss: issuer, aud: audience, sub: 'alice', nbf: 1_000, exp: 2_000 };
  const token = signToken(by, { ...usual, ...claims });
  return present(method, `Bearer ${token}`);
}

async function present(method: ReturnType<typeof createJwtMethod>, ...authorization: string[]) {
  try {
    return await method({
      headers: new Map([['Authorization', authorization]]),
      certificate: undefined,
    });
  } catch (error) {
    if (error instanceof AuthError) return error;
    throw error;
  }
}

describe('a token', () => {
  it('names its principal, of no tenant unless a claim is for that', async () => {
    expect(await show()).toEqual({ id: 'alice', tenant: '', attributes: {} });
    expect(await show({ org: 'acme' }, 1_500_000, { tenantClaim: 'org' })).toEqual({
      id: 'alice',
      tenant: 'acme',
      attributes: {},
    });
  });

  it('counts for five seconds before its time and after, for clocks differ', async () => {
    const alice = { id: 'alice' };
    expect(await show({}, 994_999)).toMatchObject({ code: 'CREDENTIAL_INVALID' });
    expect(await show({}, 995_000)).toMatchObject(alice);
    expect(await show({}, 2_004_999)).toMatchObject(alice);
    expect(await show({}, 2_005_000)).toMatchObject({
      code: 'CREDENTIAL_EXPIRED',
      message: 'the token has expired',
      cause: { code: 'ERR_JWT_EXPIRED' },
    });
  });

  it.each<[string, Claims, RegExp]>([
    ['no end', { exp: undefined }, /exp/],
    ['another audience', { aud: 'other' }, /aud/],
    ['no audience', { aud: undefined }, /aud/],
    ['another issuer', { iss: 'https://other.example' }, /^its issuer is none of auth\.jwt$/],
    ['no issuer', { iss: undefined }, /^its issuer is none of auth\.jwt$/],
    ['no subject', { sub: undefined }, /^its claim sub is no text of /],
    ['a number as subject', { sub: 7 }, /^its claim sub is no text of /],
    ['an empty subject', { sub: '' }, /^its claim sub is no text of /],
  ])('with %s is not valid, and the operator is told why', async (_what, claims, details) => {
    expect(await show(claims)).toMatchObject({
      code: 'CREDENTIAL_INVALID',
      message: 'the token is not valid',
      details: expect.stringMatching(details) as string,
    });
  });

  it('tells what form its claim must have', async () => {
    expect(await show({ sub: '' })).toMatchObject({
      details: `its claim sub is no text of ${principalNameForm}`,
    });
  });

  it('that nobody’s key fits, or of an algorithm that is not allowed, keeps the library’s error', async () => {
    expect(await show({}, 1_500_000, {}, stranger)).toMatchObject({
      code: 'CREDENTIAL_INVALID',
      details: 'signature verification failed',
      cause: { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' },
    });
    expect(await show({}, 1_500_000, { algorithms: ['EdDSA'] })).toMatchObject({
      code: 'CREDENTIAL_INVALID',
      cause: { code: 'ERR_JOSE_ALG_NOT_ALLOWED' },
    });
  });

  it('must grant every scope, and those that it lacks are named', async () => {
    const requiredScopes = ['read', 'pay', 'sign'];
    expect(
      await show({ scope: 'sign', scp: ['pay', 'read'] }, 1_500_000, { requiredScopes }),
    ).toEqual({ id: 'alice', tenant: '', attributes: {} });
    expect(await show({ scope: 'pay' }, 1_500_000, { requiredScopes })).toMatchObject({
      code: 'CREDENTIAL_NOT_PERMITTED',
      message: 'the token lacks scope read sign',
    });
  });
});

describe('what is shown as a token', () => {
  const method = createJwtMethod([], { nowMs: () => 0, timeoutMs: 5_000 });

  it('is none where nothing is shown, or an API key', async () => {
    expect(await present(method)).toBeUndefined();
    expect(await present(method, 'Basic abc', 'Bearer lhs_abc')).toBeUndefined();
  });

  it('is refused where it is no token, with the cause, or where there are two', async () => {
    expect(await present(method, 'Bearer abc')).toMatchObject({
      code: 'CREDENTIAL_INVALID',
      details: 'it is malformed',
      cause: expect.any(Error) as Error,
    });
    expect(await present(method, 'Bearer abc', 'Bearer lhs_abc', 'Bearer def')).toMatchObject({
      code: 'CREDENTIAL_INVALID',
      details: 'more than one token was sent',
    });
  });
});
