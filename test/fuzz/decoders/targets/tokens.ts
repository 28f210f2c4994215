import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  verify,
} from 'node:crypto';
import { AuthError } from '../../../../src/auth/authorization.ts';
import { createJwtMethod } from '../../../../src/auth/jwt.ts';
import {
  type IssuerKey,
  JwksServer,
  composeToken,
  publicJwk,
  signToken,
} from '../../../auth/jwks-server.ts';
import { type Target, attemptLater, expectThat, textOf } from '../target.ts';

const seed = (name: string): Buffer => createHash('sha256').update(name).digest();

/** The same key in each run, so that inputs of the corpus keep their meaning. */
function fixedKey(kid: string, alg: 'ES256' | 'EdDSA'): IssuerKey {
  if (alg === 'EdDSA') {
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed(kid)]);
    return { kid, alg, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
  }
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(seed(kid));
  const point = ecdh.getPublicKey();
  const part = (from: number) => point.subarray(from, from + 32).toString('base64url');
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: part(1),
    y: part(33),
    d: seed(kid).toString('base64url'),
  };
  return { kid, alg, privateKey: createPrivateKey({ key: jwk, format: 'jwk' }) };
}

const keys = [fixedKey('p', 'ES256'), fixedKey('e', 'EdDSA'), fixedKey('e2', 'EdDSA')] as const;
const nowSeconds = 1_795_000_000;
const claims = {
  iss: 'https://issuer',
  aud: 'signer',
  sub: 'alice',
  exp: nowSeconds + 300,
  scope: 'pay read',
};
const token = signToken(keys[1], claims);

function methodFor(jwks: JwksServer) {
  const issuer = {
    issuer: 'https://issuer',
    audience: 'signer',
    jwksUrl: jwks.url,
    requiredScopes: ['pay'],
    algorithms: ['ES256', 'EdDSA'],
    principalClaim: 'sub',
  };
  return createJwtMethod([issuer], { nowMs: () => nowSeconds * 1000, timeoutMs: 5_000 });
}

const present = (bearer: string) => ({
  headers: new Map([['Authorization', [`Bearer ${bearer}`]]]),
  certificate: undefined,
});

const isRefusal = (error: unknown): boolean =>
  error instanceof AuthError &&
  [
    'CREDENTIAL_INVALID',
    'CREDENTIAL_EXPIRED',
    'CREDENTIAL_NOT_PERMITTED',
    'AUTH_UNAVAILABLE',
  ].includes(error.code);

/** Whether one of the keys, by OpenSSL, has signed the token. */
function isSignedByAny(bearer: string, publicKeys: readonly KeyObject[]): boolean {
  const [header = '', payload = '', signature = ''] = bearer.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  return publicKeys.some((key) => {
    const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    return verify(
      algorithm,
      Buffer.from(`${header}.${payload}`),
      { key, dsaEncoding: 'ieee-p1363' },
      bytes,
    );
  });
}

/** Tokens and sets of keys, through the method that callers are known by; keys come over HTTP. */
export async function openTokenTargets(): Promise<readonly Target[]> {
  const published = new JwksServer();
  await published.start();
  published.publish(...keys);
  const fuzzed = new JwksServer();
  await fuzzed.start();
  const withKeys = methodFor(published);
  const set = (...some: readonly IssuerKey[]) => JSON.stringify({ keys: some.map(publicJwk) });
  return [
    {
      name: 'jwt',
      format: 'text',
      files: ['src/auth/jwt.ts', 'src/auth/authenticator.ts', 'src/auth/principal-name.ts'],
      seeds: [
        token,
        signToken(keys[0], claims),
        signToken(keys[2], { ...claims, scope: undefined, scp: ['pay'], nbf: nowSeconds }),
        signToken(keys[1], { ...claims, exp: nowSeconds - 300 }),
        signToken(keys[1], { ...claims, sub: 7 }),
        signToken(keys[1], { ...claims, scope: 'read' }),
        signToken(keys[1], { ...claims, aud: ['x', 'signer'] }, { crit: ['b64'], b64: false }),
        composeToken({ alg: 'none' }, claims, () => Buffer.alloc(0)),
        composeToken({ alg: 'HS256', kid: 'e' }, claims, (signed) => seed(signed.toString())),
      ],
      words: ['.', 'eyJ', 'e30', 'lhs_'],
      maxLength: 1200,
      async check(input) {
        const bearer = textOf(input).replace(/[\r\n\0]/g, '');
        const read = await attemptLater(async () => withKeys(present(bearer)), isRefusal);
        if ('refusal' in read || read.value === undefined) return;
        expectThat(
          isSignedByAny(
            bearer.trim(),
            keys.map(({ privateKey }) => createPublicKey(privateKey)),
          ),
          'a token that nobody signed',
        );
        const payload = JSON.parse(
          Buffer.from(bearer.split('.')[1] ?? '', 'base64url').toString(),
        ) as typeof claims;
        expectThat(
          payload.iss === claims.iss && payload.exp > nowSeconds - 6,
          'a token of another issuer or time',
        );
        expectThat(payload.sub === read.value.id, 'another principal');
      },
      async close() {
        await published.stop();
      },
    },
    {
      name: 'jwks',
      share: 0.1,
      format: 'json',
      files: ['src/auth/jwt.ts'],
      seeds: [set(...keys), set(keys[1]), set(keys[0], keys[2]), '{"keys":[]}'],
      words: [
        'keys',
        'kty',
        'OKP',
        'EC',
        'RSA',
        'oct',
        'crv',
        'Ed25519',
        'P-256',
        'kid',
        'alg',
        'use',
        'sig',
        'enc',
        'key_ops',
        'verify',
        'ext',
        'x5c',
        'e',
        'n',
        'x',
        'y',
        'd',
        'k',
      ],
      maxLength: 2000,
      async check(input) {
        fuzzed.answer = { status: 200, body: textOf(input) };
        const read = await attemptLater(async () => methodFor(fuzzed)(present(token)), isRefusal);
        if ('refusal' in read || read.value === undefined) return;
        const { keys: given } = JSON.parse(textOf(input)) as { keys: Record<string, string>[] };
        const usable = given.flatMap((key) => {
          try {
            return [
              createPublicKey({
                key: { kty: key['kty'], crv: key['crv'], x: key['x'], y: key['y'] } as never,
                format: 'jwk',
              }),
            ];
          } catch {
            return [];
          }
        });
        expectThat(isSignedByAny(token, usable), 'a token that none of the keys signed');
      },
      async close() {
        await fuzzed.stop();
      },
    },
  ];
}
