import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createApiKeyMethod } from '../../src/auth/api-keys.ts';
import { type AuthMethod, bearerTokens } from '../../src/auth/authenticator.ts';
import { type Caller, isKnown } from '../../src/auth/authorization.ts';
import { createCallerIdentifier } from '../../src/auth/caller.ts';
import { describeCertificate } from '../../src/auth/client-certificate.ts';
import { isSameName } from '../../src/auth/distinguished-name.ts';
import { describeFetchFailure } from '../../src/auth/fetch-failure.ts';
import { createCertificateMethod } from '../../src/auth/mtls.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { createWebhookAuthorizer, readAnswer } from '../../src/auth/webhook.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { noTraceContext } from '../../src/trace-context.ts';
import { newCertificate } from './certificates.ts';

/** What the webhook is told of the books is the caller's to write. */
const sessionState = { stateId: 's-1' } as SessionState;

const principal = { id: 'p', tenant: '', attributes: {} };

/** The code and details of what `act` throws. */
async function refusal(act: () => unknown): Promise<unknown> {
  try {
    await act();
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

describe('an API key', () => {
  const key = `lhs_${'a'.repeat(12)}_${'s'.repeat(43)}`;
  const check = (presented: string, known = presented): ReturnType<AuthMethod> => {
    const hash = createHash('sha256').update(known).digest();
    const entry = { hash, principal, expiresAtMs: 1_000, isRevoked: false };
    const method = createApiKeyMethod(
      () => new Map([['a'.repeat(12), entry]]),
      () => 999,
    );
    return method({ headers: new Map([['X-Api-Key', [presented]]]), certificate: undefined });
  };

  it('is good as a whole', () => {
    expect(check(key)).toBe(principal);
  });

  it.each([`x${key}`, `${key}x`, key.slice(0, -1), key.replace('a_', '_'), key.replace('s', '.')])(
    '%s is malformed, even where its hash is known',
    async (presented) => {
      expect(await refusal(() => check(presented))).toMatchObject({
        code: 'CREDENTIAL_INVALID',
        details: 'it is malformed',
      });
    },
  );
});

describe('bearer tokens', () => {
  it.each([
    [['Bearer abc'], ['abc']],
    [['bearer   abc'], ['abc']],
    [['Bearer'], ['']],
    [
      ['Bearer a', 'Basic b', 'BEARER c'],
      ['a', 'c'],
    ],
    [['Bearerabc'], []],
    [['x Bearer abc'], []],
  ])('of %j', (values, expected) => {
    expect(bearerTokens(new Map([['Authorization', values]]))).toEqual(expected);
  });
});

describe('a caller', () => {
  const nobody: Caller = {
    headers: new Map(),
    authId: '',
    credentialHash: '',
    principal: anonymous,
  };

  it('is known by any one of principal, auth id and credential', () => {
    expect(isKnown(nobody)).toBe(false);
    expect(isKnown({ ...nobody, principal })).toBe(true);
    expect(isKnown({ ...nobody, authId: 'a' })).toBe(true);
    expect(isKnown({ ...nobody, credentialHash: 'c' })).toBe(true);
  });

  const identify = (rawHeaders: readonly string[], credentialHeaders?: readonly string[]) =>
    createCallerIdentifier({
      authenticate: () => Promise.resolve(anonymous),
      trustedProxies: ['127.0.0.1'],
      credentialHeaders,
    })({ rawHeaders, remoteAddress: '10.0.0.1', certificate: undefined }, 'optional');

  it('has all headers up to the last, in Go’s spelling', async () => {
    const { headers } = await identify(
      'x-A-id 1 host h signer-auth-id s x-a-id 2 cookie c'.split(' '),
    );
    expect([...headers]).toEqual([
      ['X-A-Id', ['1', '2']],
      ['Cookie', ['c']],
    ]);
  });

  it('has one credential, in whatever order its headers come or are configured', async () => {
    const raw = ['Cookie', 'c', 'Authorization', 'a'];
    const swapped = ['Authorization', 'a', 'Cookie', 'c'];
    const expected = createHash('sha256')
      .update('[["Authorization","a"],["Cookie","c"]]')
      .digest('hex');
    for (const names of [undefined, ['cookie', 'authorization'], ['Authorization', 'Cookie']]) {
      expect((await identify(raw, names)).credentialHash).toBe(expected);
      expect((await identify(swapped, names)).credentialHash).toBe(expected);
    }
    expect((await identify(['Accept', '*'])).credentialHash).toBe('');
  });
});

describe('the name of a certificate', () => {
  it.each<[string, string, boolean]>([
    ['cn=gw', 'CN=gw', true],
    ['O = "Acme ", CN = gw', String.raw`CN=gw,O=Acme\ `, true],
    ['O = "Acme"  , CN = gw', 'CN=gw,O=Acme', true],
    ['O = Acme  , CN = gw', 'CN=gw,O=Acme', true],
    ['O = "Acme', 'O=Acme', true],
    [String.raw`CN="a\"b"`, String.raw`CN=a\"b`, true],
    ['CN=gw\\', 'CN=other', false],
    ['/CN=gw', '/CN=gw', true],
    ['no name', 'no name', true],
    ['no name', 'CN=gw', false],
    ['CN=gw', 'no name', false],
    ['2.5.4.3=gw', '2.5.4.3=gw', true],
    ['CN=gw,', 'CN=gw', false],
    ['CN=😀', 'CN=😀', true],
    ['CN=😀', 'CN=😁', false],
    ['CN=a b', 'CN=ab', false],
    ['CN=a=b', 'CN=a=b', true],
  ])('%s is %s: %s', (written, subject, isSame) => {
    expect(isSameName(written, subject)).toBe(isSame);
  });

  it('is read part by part, with each alternative name', async () => {
    const { cert } = await newCertificate(undefined, {
      commonName: 'gw-1',
      organization: 'Acme Inc',
      altNames: [
        { type: 2, value: 'a.example' },
        { type: 2, value: 'a, DNS:b.example' },
      ],
    });
    const x509 = new X509Certificate(cert);
    expect(describeCertificate(x509, 'X')).toEqual({
      subject: expect.stringMatching(/^(CN=gw-1,O=Acme Inc|O=Acme Inc,CN=gw-1)$/) as string,
      altNames: ['DNS:a.example', 'DNS:a, DNS:b.example'],
      fingerprint: x509.fingerprint256,
      expiresAtMs: Date.parse(x509.validTo),
      problem: 'X',
    });
  });
});

describe('a client certificate', () => {
  const certificate = {
    subject: 'CN=gw',
    altNames: ['DNS:a'],
    fingerprint: 'AB:CD',
    expiresAtMs: 1_000,
    problem: undefined as string | undefined,
  };
  const check = (changes: Partial<typeof certificate>, nowMs = 999) =>
    createCertificateMethod(
      [{ subject: 'CN=gw', principal }],
      () => nowMs,
    )({
      headers: new Map(),
      certificate: { ...certificate, ...changes },
    });

  it('is good up to its last millisecond', () => {
    expect(check({})).toBe(principal);
  });

  it.each([
    ['CREDENTIAL_EXPIRED', 'CN=gw, AB:CD', {}, 1_000],
    ['CREDENTIAL_EXPIRED', 'CN=gw, AB:CD', { problem: 'CERT_HAS_EXPIRED' }, 999],
    ['CREDENTIAL_INVALID', 'CERT_REVOKED: CN=gw, AB:CD', { problem: 'CERT_REVOKED' }, 999],
    ['CREDENTIAL_INVALID', ': CN=gw, AB:CD', { problem: '' }, 999],
    ['CREDENTIAL_NOT_PERMITTED', 'CN=x, AB:CD', { subject: 'CN=x' }, 999],
  ])('is refused with %s (%s)', async (code, details, changes, nowMs) => {
    expect(await refusal(() => check(changes, nowMs))).toMatchObject({ code, details });
  });
});

describe('why an address gave no answer', () => {
  it.each([
    ['ECONNREFUSED', 'nothing listens there'],
    ['ECONNRESET', 'the connection was reset'],
    ['UND_ERR_SOCKET', 'the connection was closed without an answer'],
    ['UND_ERR_CONNECT_TIMEOUT', 'no connection in time'],
    ['ETIMEDOUT', 'no connection in time'],
    ['EHOSTUNREACH', 'the host is out of reach'],
    ['ENETUNREACH', 'the network is out of reach'],
    ['ENOTFOUND', 'the host name is unknown'],
    ['EAI_AGAIN', "the host name can't be looked up now"],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is self-signed'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'its certificate is of an authority that is not trusted here'],
    [
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'its certificate is of an authority that is not trusted here',
    ],
    [
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'its certificate is of an authority that is not trusted here',
    ],
    ['CERT_HAS_EXPIRED', 'its certificate has expired'],
    ['CERT_NOT_YET_VALID', 'its certificate is not valid yet'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for another host name'],
    ['EPROTO', 'it does not speak TLS there'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'it does not speak TLS there'],
  ])('%s: %s', (code, words) => {
    const cause = Object.assign(new Error('secret'), { code });
    expect(describeFetchFailure(new TypeError('fetch failed', { cause }))).toBe(
      `${words} (${code})`,
    );
  });

  it('is told by the code alone where it is another, and not at all where there is none', () => {
    const coded = (code: unknown, cause?: unknown): Error =>
      Object.assign(new Error('secret', { cause }), { code });
    expect(describeFetchFailure(coded('EOTHER'))).toBe('EOTHER');
    expect(describeFetchFailure(coded(7, coded('EOTHER')))).toBe('EOTHER');
    expect(describeFetchFailure(coded(7))).toBe('unknown');
    expect(describeFetchFailure('secret')).toBe('unknown');
    expect(describeFetchFailure(new DOMException('secret', 'TimeoutError'))).toBe(
      'no answer in time',
    );
    expect(describeFetchFailure(new Error('bad port'))).toMatch(/^fetch blocks this port/);
  });
});

describe('the answer of an auth webhook', () => {
  const read = (answer: unknown) => readAnswer(Buffer.from(JSON.stringify(answer)));

  it('that only says yes grants this payment, to nobody in particular', () => {
    expect(read({ status: 200 })).toEqual({ expiry: 0n, authId: '', maxPrice: undefined });
    expect(read({ status: 200, expiry: 100_000_000_000, auth_id: 'a:b' })).toEqual({
      expiry: 100_000_000_000n,
      authId: 'a:b',
      maxPrice: undefined,
    });
  });

  it.each([
    [{}, 'AUTH_WEBHOOK_FAILED'],
    [{ status: 0 }, 'AUTH_WEBHOOK_FAILED'],
    [{ status: -200 }, 'AUTH_WEBHOOK_FAILED'],
    [{ status: '200' }, 'AUTH_WEBHOOK_FAILED'],
    [[], 'AUTH_WEBHOOK_FAILED'],
    [{ status: 1 }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 201 }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 399 }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 600 }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 200, expiry: 100_000_000_001 }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 200, auth_id: 'a\u0000' }, 'AUTH_WEBHOOK_ANSWER_INVALID'],
    [{ status: 400 }, 'AUTH_WEBHOOK_REJECTED'],
    [{ status: 599 }, 'AUTH_WEBHOOK_REJECTED'],
  ])('%j is %s', async (answer, code) => {
    expect(await refusal(() => read(answer))).toMatchObject({ code });
  });

  it('passes its own status, reason and the beginning of its code on', async () => {
    const longest = 'c'.repeat(128);
    expect(
      await refusal(() => read({ status: 402, reason: 'pay', code: `${longest}x` })),
    ).toMatchObject({ status: 402, message: 'pay', webhookCode: longest });
    expect(await refusal(() => read({ status: 599, code: 7 }))).toMatchObject({
      status: 599,
      message: 'signer auth rejected request with status 599',
      webhookCode: undefined,
    });
  });
});

describe('an auth webhook', () => {
  let server: http.Server | undefined;
  afterEach(() => {
    server?.close();
    server?.closeAllConnections();
  });

  /** What the webhook is asked with, and what comes of its answer. */
  async function question(answer: readonly string[], trace = noTraceContext) {
    const asked: { headers: http.IncomingHttpHeaders; text: string }[] = [];
    server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        asked.push({ headers: request.headers, text: Buffer.concat(chunks).toString() });
        void (async () => {
          for (const piece of answer) if (!response.write(piece)) await once(response, 'drain');
          response.end();
        })();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const authorize = createWebhookAuthorizer({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      headers: {},
      timeoutMs: 10_000,
      encodeState: ({ stateId }) => JSON.stringify(stateId),
    });
    const headers = new Map([
      ['X-B', ['2', '3']],
      ['X-A', ['"1"']],
    ]);
    const caller = { headers, authId: '', credentialHash: '', principal: anonymous, trace };
    const authorization = await authorize(caller, sessionState, new AbortController().signal).catch(
      (error: unknown) => error,
    );
    return { asked, authorization };
  }

  it('is asked with the caller’s headers in order, the books and the ids of the request', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const trace = { ...noTraceContext, traceparent, clientRequestId: 'r-1' };
    const { asked, authorization } = await question(['{"status":', '200}'], trace);
    expect(authorization).toEqual({ expiry: 0n, authId: '', maxPrice: undefined });
    expect(asked).toMatchObject([
      {
        headers: { 'content-type': 'application/json', traceparent, 'x-request-id': 'r-1' },
        text: `{"headers":{"X-A":["\\"1\\""],"X-B":["2","3"]},"state":${JSON.stringify(sessionState.stateId)}}`,
      },
    ]);
  });

  it('is told no id where the client sent none', async () => {
    const { asked } = await question(['{"status":200}']);
    expect(asked[0]?.headers).not.toHaveProperty('traceparent');
    expect(asked[0]?.headers).not.toHaveProperty('x-request-id');
  });

  it.each([65_536, 65_537])('may answer with 65,536 bytes: %i', async (size) => {
    const text = '{"status":200}'.padEnd(size, ' ');
    const { authorization } = await question([text.slice(0, 40_000), text.slice(40_000)]);
    if (size === 65_536) expect(authorization).toMatchObject({ authId: '' });
    else {
      expect(authorization).toMatchObject({
        code: 'AUTH_WEBHOOK_FAILED',
        details: 'it is over 65536 bytes',
      });
    }
  });

  it('that breaks off keeps its cause', async () => {
    const authorize = createWebhookAuthorizer({
      url: 'http://127.0.0.1:6000/',
      headers: {},
      timeoutMs: 10_000,
      encodeState: () => '{}',
    });
    const error = await refusal(() =>
      authorize(
        { headers: new Map(), authId: '', credentialHash: '', principal: anonymous },
        sessionState,
        new AbortController().signal,
      ),
    );
    expect(error).toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
      details: 'fetch blocks this port: serve it on another one',
      cause: { message: 'fetch failed' },
    });
  });
});
