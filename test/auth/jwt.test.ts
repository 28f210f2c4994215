import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { payableRequest } from '../cli/payable-request.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { audience, claimsWith, issuer } from './auth-world.ts';
import { type Claims, type IssuerKey, JwksServer, newIssuerKey, signToken } from './jwks-server.ts';

const minute = 60_000;

let jwks: JwksServer;
let signer: TestSigner;
const first = newIssuerKey('first', 'ES256');
const second = newIssuerKey('second', 'ES256');

beforeEach(async () => {
  jwks = new JwksServer();
  await jwks.start();
  jwks.publish(first);
  signer = await startTestSigner({
    settings: { auth: { jwt: [{ issuer, audience, jwksUrl: jwks.url }] } },
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await signer.close();
  await jwks.stop();
});

async function pay(key: IssuerKey = first, changes: Claims = {}) {
  signer.key.reset();
  const token = signToken(key, claimsWith(changes));
  const answer = await signer.post(payableRequest(), { Authorization: `Bearer ${token}` });
  const { code } = signer.logLines.at(-1) ?? {};
  return { ...answer, code, keyCalls: signer.key.digests.length };
}

const unavailable = { status: 503, code: 'AUTH_UNAVAILABLE', keyCalls: 0 };

/** Moves the clock that tokens, the issuer's keys and the signer go by. */
function wait(milliseconds: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + milliseconds });
}

describe('an issuer whose keys can’t be had', () => {
  it('is a 503 with Retry-After and no key call, until it is back', async () => {
    await jwks.stop();
    const answer = await pay();
    expect(answer).toMatchObject(unavailable);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(signer.logLines.at(-1)).toMatchObject({
      msg: 'request failed',
      details: expect.stringContaining(jwks.url) as string,
    });
    await jwks.start();
    expect(await pay()).toMatchObject({ status: 200 });
  });

  it('is told of without the query of its address, which may hold a secret', async () => {
    await jwks.stop();
    const jwksUrl = `${jwks.url}?key=of-ours`;
    const other = await startTestSigner({
      settings: { auth: { jwt: [{ issuer, audience, jwksUrl }] } },
    });
    const token = signToken(first, claimsWith({}));
    await other.post(payableRequest(), { Authorization: `Bearer ${token}` });
    await other.close();
    const { code, details } = other.logLines.at(-1) ?? {};
    expect(code).toBe('AUTH_UNAVAILABLE');
    expect(details).toContain(`${jwks.url}: `);
    await jwks.start();
  });

  it('that never answers is one after two seconds, within the request’s deadline', async () => {
    jwks.answer = undefined;
    const startedAt = performance.now();
    expect(await pay()).toMatchObject(unavailable);
    expect(performance.now() - startedAt).toBeGreaterThan(1_500);
    expect(signer.logLines.at(-1)).toMatchObject({ details: `${jwks.url}: no answer in time` });
    jwks.publish(first);
    expect(await pay()).toMatchObject({ status: 200 });
  });

  it.each([
    { what: 'an error', answer: { status: 500, body: '{"keys":[]}' } },
    { what: 'a redirect', answer: { status: 302, body: '{"keys":[]}' } },
    { what: 'no JSON', answer: { status: 200, body: '<html>' } },
    { what: 'no keys', answer: { status: 200, body: '{}' } },
    { what: 'a list', answer: { status: 200, body: '[]' } },
  ])('answers with $what', async ({ answer }) => {
    jwks.answer = answer;
    expect(await pay()).toMatchObject(unavailable);
    jwks.publish(first);
    expect(await pay()).toMatchObject({ status: 200 });
  });

  it('answers with more than 1 MiB', async () => {
    jwks.publish(first);
    const { body } = jwks.answer ?? { body: '' };
    jwks.answer = { status: 200, body: body.padEnd(1_048_577) };
    expect(await pay()).toMatchObject(unavailable);
    expect(signer.logLines.at(-1)).toMatchObject({
      details: `${jwks.url}: more than 1048576 bytes`,
    });
    jwks.answer = { status: 200, body: body.padEnd(1_048_576) };
    expect(await pay()).toMatchObject({ status: 200 });
  });

  it('does not matter while its keys are known, for ten minutes', async () => {
    expect(await pay()).toMatchObject({ status: 200 });
    await jwks.stop();
    wait(9 * minute);
    expect(await pay()).toMatchObject({ status: 200 });
    wait(2 * minute);
    expect(await pay()).toMatchObject(unavailable);
    await jwks.start();
    expect(await pay()).toMatchObject({ status: 200 });
  });
});

describe('a token of an unknown form', () => {
  it('is refused without the names of its critical extensions, which its sender has chosen', async () => {
    for (const extension of [{ chosen: 1 }, {}]) {
      const header = { alg: 'ES256', kid: 'first', crit: ['chosen'], ...extension };
      const token = [header, claimsWith({}), 'signature']
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const answer = await signer.post(payableRequest(), { Authorization: `Bearer ${token}` });
      expect(answer.status).toBe(401);
      expect(signer.logLines.at(-1)).toMatchObject({
        code: 'CREDENTIAL_INVALID',
        details: 'its header has a critical extension',
      });
    }
  });
});

describe('an issuer’s keys', () => {
  it('may be rotated: a token with a new one is taken', async () => {
    expect(await pay()).toMatchObject({ status: 200 });
    expect(signer.logLines.at(-1)?.['tenant'] ?? '').toBe('');
    jwks.publish(first, second);
    wait(minute);
    expect(await pay(second)).toMatchObject({ status: 200 });
    expect(jwks.asked).toBe(2);
  });

  it('may be withdrawn: ten minutes later their tokens don’t count', async () => {
    expect(await pay()).toMatchObject({ status: 200 });
    jwks.publish(second);
    wait(11 * minute);
    const withdrawn = { status: 401, code: 'CREDENTIAL_INVALID', keyCalls: 0 };
    expect(await pay(first)).toMatchObject(withdrawn);
    expect(await pay(second)).toMatchObject({ status: 200 });
  });

  it('are asked for once in 30 seconds by tokens that name unknown ones', async () => {
    expect(await pay()).toMatchObject({ status: 200 });
    wait(minute);
    for (let turn = 0; turn < 5; turn += 1) {
      const made = newIssuerKey(`made up ${turn}`, 'ES256');
      expect(await pay(made)).toMatchObject({ status: 401, code: 'CREDENTIAL_INVALID' });
    }
    expect(jwks.asked).toBe(2);
  });

  it('are asked for once by many requests at a time', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => pay()));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(jwks.asked).toBe(1);
  });
});

describe('claims of the operator’s choice', () => {
  it('name principal and tenant, each issuer’s its own', async () => {
    await signer.close();
    const other = 'https://other.example';
    signer = await startTestSigner({
      settings: {
        auth: {
          jwt: [
            { issuer, audience, jwksUrl: jwks.url, algorithms: ['EdDSA'] },
            {
              issuer: other,
              audience: 'payments',
              jwksUrl: jwks.url,
              principalClaim: 'client_id',
              tenantClaim: 'org',
            },
          ],
        },
      },
    });
    const claims = { iss: other, aud: 'payments', client_id: 'c-1', org: 'acme' };
    expect(await pay(first, claims)).toMatchObject({ status: 200 });
    expect(signer.logLines.at(-1)).toMatchObject({ principal: 'c-1', tenant: 'acme' });
    expect(await pay(first)).toMatchObject({ status: 401, code: 'CREDENTIAL_INVALID' });
    const mixed = { ...claims, aud: audience };
    expect(await pay(first, mixed)).toMatchObject({ status: 401, code: 'CREDENTIAL_INVALID' });
  });
});
