import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { payableRequest } from '../cli/payable-request.ts';
import { type Question, ask, untilTaken } from './ask.ts';
import { AuthWorld, claimsWith } from './auth-world.ts';
import { type Certificate, newAuthority, newCertificate } from './certificates.ts';
import {
  composeToken,
  hmacToken,
  newIssuerKey,
  publicJwk,
  publicPem,
  signToken,
} from './jwks-server.ts';

const minute = 60;
const now = (): number => Math.floor(Date.now() / 1000);

let world: AuthWorld;
/** credentials by what is right or wrong with them */
let keys: Record<'good' | 'expired' | 'revoked' | 'expiring', string>;
let certificates: Record<
  | 'spiffe'
  | 'dns'
  | 'subject'
  | 'unknown'
  | 'namesake'
  | 'selfSigned'
  | 'unmapped'
  | 'expired'
  | 'ofServers',
  Certificate
>;

beforeAll(async () => {
  world = await AuthWorld.start();
  const { keyFile, authority } = world;
  keys = {
    good: keyFile.add({ principal: 'key-gateway', tenant: 'initech' }),
    expired: keyFile.add({ principal: 'key-gateway', expires: '2020-01-01T00:00:00+01:00' }),
    expiring: keyFile.add({ principal: 'expiring', expires: '2126-01-01T00:00:00Z' }),
    revoked: keyFile.add({ principal: 'key-gateway', revoked: true }),
  };
  await untilTaken(world.signer.url, keys.good, world.tls());
  const uri = [{ type: 6, value: 'spiffe://acme/gateway' }] as const;
  const day = 86_400_000;
  certificates = {
    spiffe: await newCertificate(authority, { altNames: uri }),
    dns: await newCertificate(authority, {
      commonName: 'any',
      altNames: [
        { type: 2, value: 'other.acme.example' },
        { type: 2, value: 'gw.acme.example' },
      ],
    }),
    subject: await newCertificate(authority, { commonName: 'gw-1', organization: 'Acme Inc' }),
    unknown: await newCertificate(await newAuthority('somebody else'), {
      commonName: 'any',
      altNames: uri,
    }),
    namesake: await newCertificate(await newAuthority('clients of the signer'), {
      commonName: 'any',
      altNames: uri,
    }),
    selfSigned: await newCertificate(undefined, { commonName: 'any', altNames: uri }),
    unmapped: await newCertificate(authority, {
      commonName: 'gw-1',
      // what stands in one name is not another name
      altNames: [{ type: 2, value: 'a, DNS:gw.acme.example, DNS:b' }],
    }),
    expired: await newCertificate(authority, {
      commonName: 'any',
      altNames: uri,
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    }),
    ofServers: await newCertificate(authority, {
      commonName: 'any',
      altNames: uri,
      usage: 'serverAuth',
    }),
  };
});

afterAll(() => world[Symbol.asyncDispose]());

beforeEach(() => {
  world.signer.key.reset();
  world.signer.logLines.length = 0;
});

const bearer = (...tokens: string[]) => ({
  Authorization: tokens.map((token) => `Bearer ${token}`),
});

/** What a row presents. */
type Presented = { readonly headers?: Question['headers']; readonly shown?: Certificate };

function pay({ headers, shown }: Presented) {
  return ask(world.signer.url, {
    body: payableRequest(),
    tls: world.tls(shown),
    ...(headers && { headers }),
  });
}

type Refused = {
  readonly credential: string;
  readonly present: () => Presented;
  readonly status: 401 | 403;
  readonly code: string;
  /** what the log tells the operator, and not the caller */
  readonly details?: RegExp;
};

function rows(
  status: 401 | 403,
  code: string,
  list: readonly [credential: string, present: () => Presented, details?: RegExp][],
): Refused[] {
  return list.map(([credential, present, details]) => ({
    credential,
    present,
    status,
    code,
    ...(details && { details }),
  }));
}

const missing = rows(401, 'CREDENTIAL_MISSING', [
  ['none', () => ({})],
  ['a password', () => ({ headers: { Authorization: 'Basic bWU6aHVudGVyMg==' } })],
  ['an API key without its scheme', () => ({ headers: { Authorization: keys.good } })],
  ['an API key in a cookie', () => ({ headers: { Cookie: `key=${keys.good}` } })],
  [
    'the word of a proxy that nobody trusts',
    () => ({ headers: { 'Signer-Auth-Id': 'acme:key-gateway' } }),
  ],
  [
    'a certificate in the header of a proxy',
    () => ({ headers: { 'X-Client-Cert': encodeURIComponent(certificates.spiffe.cert) } }),
  ],
]);

const invalidKeys = rows(401, 'CREDENTIAL_INVALID', [
  ['an API key of the prefix only', () => ({ headers: bearer('lhs_') }), /malformed/],
  ['an API key cut short', () => ({ headers: bearer(keys.good.slice(0, -1)) }), /malformed/],
  ['an API key with more after it', () => ({ headers: bearer(`${keys.good}A`) }), /malformed/],
  ['an API key in capitals', () => ({ headers: bearer(keys.good.replace('lhs_', 'LHS_')) })],
  ['an empty X-Api-Key', () => ({ headers: { 'X-Api-Key': '' } }), /malformed/],
  ['another product’s X-Api-Key', () => ({ headers: { 'X-Api-Key': 'sk-1' } }), /malformed/],
  [
    'an unknown API key',
    () => ({ headers: bearer(keys.good.replace(/^lhs_...../, 'lhs_00000')) }),
    /there is no key 00000/,
  ],
  [
    'an API key with a wrong secret',
    () => ({ headers: bearer(keys.good.replace(/.{43}$/, 'A'.repeat(43))) }),
    /wrong secret/,
  ],
  [
    'an API key with the secret of another',
    () => ({ headers: bearer(keys.good.slice(0, -43) + keys.expiring.slice(-43)) }),
    /wrong secret/,
  ],
  ['a revoked API key', () => ({ headers: bearer(keys.revoked) }), /revoked/],
  ['two API keys', () => ({ headers: bearer(keys.good, keys.expiring) }), /more than one/],
  [
    'the same API key in two headers',
    () => ({ headers: { ...bearer(keys.good), 'X-Api-Key': keys.good } }),
    /more than one/,
  ],
]);

const wrongKey = newIssuerKey('p256', 'ES256');
const attacker = newIssuerKey('attacker', 'ES256');

const invalidTokens = rows(401, 'CREDENTIAL_INVALID', [
  ['an empty token', () => ({ headers: { Authorization: 'Bearer' } }), /malformed/],
  ['a token that is none', () => ({ headers: bearer('abc') }), /malformed/],
  ['a token without a signature', () => ({ headers: bearer(unsigned('')) })],
  [
    'a token of alg none',
    () => ({ headers: bearer(composeToken({ alg: 'none' }, claimsWith(), () => Buffer.of())) }),
    /alg/,
  ],
  [
    'a token of alg none with a key id',
    () => ({
      headers: bearer(composeToken({ alg: 'none', kid: 'rsa' }, claimsWith(), () => Buffer.of())),
    }),
    /alg/,
  ],
  [
    'a token signed by HS256 with the public key as PEM',
    () => ({
      headers: bearer(hmacToken(publicPem(world.issuerKeys.rsa), claimsWith(), 'rsa')),
    }),
    /alg/,
  ],
  [
    'a token signed by HS256 with the public key as JWK',
    () => ({
      headers: bearer(
        hmacToken(JSON.stringify(publicJwk(world.issuerKeys.rsa)), claimsWith(), 'rsa'),
      ),
    }),
    /alg/,
  ],
  [
    'a token signed by an algorithm that is not listed',
    () => ({ headers: bearer(world.token({}, world.issuerKeys.k256)) }),
    /alg/,
  ],
  [
    'a token signed by another algorithm than its key’s',
    () => ({ headers: bearer(world.token({}, { ...world.issuerKeys.p256, kid: 'rsa' })) }),
  ],
  [
    'a token signed with another key',
    () => ({ headers: bearer(world.token({}, wrongKey)) }),
    /signature verification failed/,
  ],
  [
    'a token that brings its own key',
    () => ({
      headers: bearer(
        signToken(attacker, claimsWith({ org: 'globex' }), {
          jwk: publicJwk(attacker),
          jku: 'http://127.0.0.1:9/keys',
        }),
      ),
    }),
    /no applicable key/,
  ],
  ['a token whose claims were changed', () => ({ headers: bearer(withClaimsOf('root')) })],
  [
    'a token of another issuer',
    () => ({ headers: bearer(world.token({ iss: 'https://a.example' })) }),
    /issuer/,
  ],
  ['a token of no issuer', () => ({ headers: bearer(world.token({ iss: undefined })) }), /issuer/],
  [
    'a token for another audience',
    () => ({ headers: bearer(world.token({ aud: 'https://other.example' })) }),
    /"aud"/,
  ],
  [
    'a token for no audience',
    () => ({ headers: bearer(world.token({ aud: undefined })) }),
    /"aud"/,
  ],
  [
    'a token that never expires',
    () => ({ headers: bearer(world.token({ exp: undefined })) }),
    /"exp"/,
  ],
  [
    'a token for later',
    () => ({ headers: bearer(world.token({ nbf: now() + 10 * minute })) }),
    /"nbf"/,
  ],
  ['a token of nobody', () => ({ headers: bearer(world.token({ sub: undefined })) }), /claim sub/],
  [
    'a token whose tenant is missing',
    () => ({ headers: bearer(world.token({ org: undefined })) }),
    /claim org/,
  ],
  [
    'a token whose tenant is no text',
    () => ({ headers: bearer(world.token({ org: ['a'] })) }),
    /claim org/,
  ],
  [
    'a token whose principal has a line break',
    () => ({ headers: bearer(world.token({ sub: 'acme\nroot' })) }),
    /claim sub/,
  ],
  [
    'a token whose tenant is too long',
    () => ({ headers: bearer(world.token({ org: 'x'.repeat(256) })) }),
    /claim org/,
  ],
  ['two tokens', () => ({ headers: bearer(world.token(), world.token()) }), /more than one/],
]);

const invalidCertificates = rows(401, 'CREDENTIAL_INVALID', [
  ['a certificate of another authority', () => ({ shown: certificates.unknown })],
  ['one of another authority of the same name', () => ({ shown: certificates.namesake })],
  ['a self-signed certificate', () => ({ shown: certificates.selfSigned }), /SELF_SIGNED/],
  ['a server’s certificate', () => ({ shown: certificates.ofServers }), /INVALID_PURPOSE/],
]);

const expired = rows(401, 'CREDENTIAL_EXPIRED', [
  ['an expired API key', () => ({ headers: bearer(keys.expired) })],
  ['an expired token', () => ({ headers: bearer(world.token({ exp: now() - minute })) })],
  ['an expired certificate', () => ({ shown: certificates.expired })],
]);

const notPermitted = rows(403, 'CREDENTIAL_NOT_PERMITTED', [
  [
    'a token without the scope',
    () => ({ headers: bearer(world.token({ scope: 'read payments' })) }),
  ],
  ['a token without scopes', () => ({ headers: bearer(world.token({ scope: undefined })) })],
  ['a certificate of no principal', () => ({ shown: certificates.unmapped })],
]);

const combined: Refused[] = [
  ...rows(401, 'CREDENTIAL_INVALID', [
    [
      'a good token beside a revoked API key',
      () => ({ headers: { ...bearer(world.token()), 'X-Api-Key': keys.revoked } }),
    ],
    [
      'a good API key beside a forged token',
      () => ({ headers: { ...bearer(world.token({}, wrongKey)), 'X-Api-Key': keys.good } }),
    ],
    [
      'a good API key beside an unknown certificate',
      () => ({ headers: bearer(keys.good), shown: certificates.unknown }),
    ],
    [
      'a good certificate beside an unknown API key',
      () => ({ headers: { 'X-Api-Key': 'x' }, shown: certificates.spiffe }),
    ],
  ]),
  ...rows(401, 'CREDENTIAL_EXPIRED', [
    [
      'a good certificate beside an expired token',
      () => ({ headers: bearer(world.token({ exp: 1 })), shown: certificates.spiffe }),
    ],
  ]),
  ...rows(403, 'CREDENTIAL_NOT_PERMITTED', [
    [
      'a good API key beside a certificate of no principal',
      () => ({ headers: bearer(keys.good), shown: certificates.unmapped }),
    ],
    [
      'a good certificate beside a token without the scope',
      () => ({ headers: bearer(world.token({ scope: '' })), shown: certificates.spiffe }),
    ],
  ]),
];

function unsigned(signature: string): string {
  return [...world.token().split('.').slice(0, 2), signature].join('.');
}

/** A good token with claims put in place of its own. */
function withClaimsOf(sub: string): string {
  const [header = '', , signature = ''] = world.token().split('.');
  const [, claims = ''] = world.token({ sub }).split('.');
  return [header, claims, signature].join('.');
}

describe.each([
  { why: 'missing', table: missing },
  { why: 'invalid API keys', table: invalidKeys },
  { why: 'invalid tokens', table: invalidTokens },
  { why: 'invalid certificates', table: invalidCertificates },
  { why: 'expired', table: expired },
  { why: 'not permitted', table: notPermitted },
  { why: 'one good and one bad', table: combined },
])('refused: $why', ({ table }) => {
  it.each(table)(
    '$credential is answered $status without a key call',
    async ({ present, status, code, details }) => {
      const presented = present();
      const answer = await pay(presented);
      expect(answer.status).toBe(status);
      expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer' : undefined);
      expect(world.signer.key.digests).toHaveLength(0);
      const [line, ...others] = world.signer.logLines;
      expect(others).toEqual([]);
      expect(line).toMatchObject({ msg: 'request refused', status, code });
      if (details) {
        expect(line).toHaveProperty('details', expect.stringMatching(details));
        expect(answer.text).not.toMatch(details);
      }
      for (const secret of secretsOf(presented)) {
        expect(JSON.stringify(line)).not.toContain(secret);
        expect(answer.text).not.toContain(secret);
      }
    },
  );
});

/** What no log line and no answer may hold. */
function secretsOf({ headers = {} }: Presented): string[] {
  return Object.values(headers)
    .flat()
    .map((value) => value.replace(/^\w+ /, '').replace(/^lhs_[^_]+_/, ''))
    .filter((secret) => secret.length > 10 && !secret.includes(':'));
}

type Accepted = {
  readonly credential: string;
  readonly present: () => Presented;
  readonly principal: string;
  readonly tenant: string;
};

const accepted: Accepted[] = [
  {
    credential: 'an API key as bearer token',
    present: () => ({ headers: bearer(keys.good) }),
    principal: 'key-gateway',
    tenant: 'initech',
  },
  {
    credential: 'an API key in X-Api-Key',
    present: () => ({ headers: { 'X-Api-Key': keys.good } }),
    principal: 'key-gateway',
    tenant: 'initech',
  },
  {
    credential: 'an API key that will expire',
    present: () => ({ headers: { authorization: `bearer ${keys.expiring}` } }),
    principal: 'expiring',
    tenant: '',
  },
  {
    credential: 'a token signed by RS256',
    present: () => ({ headers: bearer(world.token({}, world.issuerKeys.rsa)) }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'a token signed by ES256',
    present: () => ({ headers: bearer(world.token({}, world.issuerKeys.p256)) }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'a token signed by EdDSA',
    present: () => ({ headers: bearer(world.token({}, world.issuerKeys.ed25519)) }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'a token whose scopes are a list, for several audiences',
    present: () => ({
      headers: bearer(
        world.token({
          scope: undefined,
          scp: ['pay'],
          aud: ['https://a.example', 'https://signer.example'],
        }),
      ),
    }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'a token that expired within the tolerance',
    present: () => ({ headers: bearer(world.token({ exp: now() - 1 })) }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'a certificate by its URI',
    present: () => ({ shown: certificates.spiffe }),
    principal: 'spiffe-gateway',
    tenant: 'acme',
  },
  {
    credential: 'a certificate by its DNS name',
    present: () => ({ shown: certificates.dns }),
    principal: 'dns-gateway',
    tenant: '',
  },
  {
    credential: 'a certificate by its subject',
    present: () => ({ shown: certificates.subject }),
    principal: 'subject-gateway',
    tenant: '',
  },
  {
    credential: 'a token over a connection with a certificate',
    present: () => ({ headers: bearer(world.token()), shown: certificates.spiffe }),
    principal: 'gateway-7',
    tenant: 'globex',
  },
  {
    credential: 'an API key over a connection with a certificate',
    present: () => ({ headers: bearer(keys.good), shown: certificates.spiffe }),
    principal: 'key-gateway',
    tenant: 'initech',
  },
  {
    credential: 'an API key, a token and a certificate',
    present: () => ({
      headers: { ...bearer(world.token()), 'X-Api-Key': keys.good },
      shown: certificates.spiffe,
    }),
    principal: 'key-gateway',
    tenant: 'initech',
  },
];

describe('accepted', () => {
  it.each(accepted)('$credential pays as $principal', async ({ present, principal, tenant }) => {
    const answer = await pay(present());
    expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
    expect(world.signer.key.digests.length).toBeGreaterThan(0);
    const signed = world.signer.logLines.find(({ msg }) => msg === 'payment signed');
    expect(signed).toMatchObject({ principal, tenant });
  });
});

describe('endpoints', () => {
  const askOpen = (path: string, headers?: Question['headers']) =>
    ask(world.signer.url, { path, tls: world.tls(), ...(headers && { headers }) });

  it.each(['/sign-orchestrator-info', '/healthz', '/readyz'])('%s asks nobody', async (path) => {
    expect((await askOpen(path)).status).toBe(200);
  });

  it('/sign-orchestrator-info refuses a credential that is presented and wrong', async () => {
    const answer = await askOpen('/sign-orchestrator-info', bearer(keys.revoked));
    expect(answer.status).toBe(401);
    expect((await askOpen('/sign-orchestrator-info', bearer(keys.good))).status).toBe(200);
  });

  it('refuses before the body has come', async () => {
    const request = https.request(`${world.signer.url}/generate-live-payment`, {
      ...world.tls(),
      method: 'POST',
      agent: false,
      headers: { 'Content-Length': '1000' },
    });
    request.flushHeaders();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    expect(response.statusCode).toBe(401);
    request.on('error', () => undefined).destroy();
  });
});
