import { once } from 'node:events';
import { rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Claims, JwksServer, newIssuerKey, signToken } from '../auth/jwks-server.ts';
import { expectPaid } from '../payments/expectations.ts';
import { usualNow } from '../payments/request-builder.ts';
import type { TestAnswer } from '../support/test-signer.ts';
import { expectAllRecorded, expectFailure, patiently, readReadiness } from './evidence.ts';
import {
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';

let signer: GuardedSigner;
afterEach(() => signer.close());

async function pay(tickets: number, headers?: Record<string, string>): Promise<TestAnswer> {
  return signer.post(await firstPayment(tickets), headers);
}

const fiveTickets = `default: allow
rules: [{ id: hourly, window: { per: all, every: 1h, tickets: 5 } }]`;

describe('an auth webhook', () => {
  const agree = '{"status":200,"auth_id":"acme:a"}';
  let answer: (response: http.ServerResponse) => void;
  let webhook: http.Server;

  beforeEach(async () => {
    webhook = http.createServer((request, response) => {
      request.resume();
      answer(response);
    });
    webhook.listen(0, '127.0.0.1');
    await once(webhook, 'listening');
    const { port } = webhook.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/auth`;
    const auth = { webhook: { url, timeoutMs: 1_000 } };
    signer = await startGuardedSigner({ policy: fiveTickets, settings: { auth } });
  });
  afterEach(() => {
    webhook.close();
    webhook.closeAllConnections();
  });

  const failed = [500, 'AUTH_WEBHOOK_FAILED'] as const;
  const invalid = [502, 'AUTH_WEBHOOK_ANSWER_INVALID'] as const;
  const cases: [string, (response: http.ServerResponse) => void, readonly [number, string]][] = [
    ['does not answer in time', () => undefined, failed],
    [
      'sends its answer too slowly',
      (response) => void response.writeHead(200).write(agree.slice(0, 10)),
      failed,
    ],
    [
      'answers with HTML',
      (response) => {
        response.setHeader('Content-Type', 'text/html');
        response.end('<html><body>Log in first</body></html>');
      },
      failed,
    ],
    ['answers with HTTP status 500', (response) => response.writeHead(500).end(agree), failed],
    ['answers with HTTP status 201', (response) => response.writeHead(201).end(agree), failed],
    ['answers with nothing', (response) => response.end(), failed],
    ['answers with half of its JSON', (response) => response.end(agree.slice(0, 20)), failed],
    [
      'hangs up in the middle of its answer',
      (response) => {
        response.writeHead(200, { 'Content-Length': agree.length });
        response.write(agree.slice(0, 20), () => response.destroy());
      },
      failed,
    ],
    ['answers without a status', (response) => response.end('{"auth_id":"acme:a"}'), failed],
    ['answers with a list', (response) => response.end(`[${agree}]`), failed],
    [
      'answers with megabytes',
      (response) => response.end(`{"status":200,"reason":"${'x'.repeat(4_000_000)}"}`),
      failed,
    ],
    ['answers with status 302', (response) => response.end('{"status":302}'), invalid],
    [
      'answers with a maxPrice that is none',
      (response) => response.end('{"status":200,"maxPrice":{"pricePerUnit":-1,"unit":"x"}}'),
      invalid,
    ],
    [
      'says no',
      (response) => response.end('{"status":418,"reason":"short and stout"}'),
      [418, 'AUTH_WEBHOOK_REJECTED'],
    ],
  ];

  it.each(cases)(
    'that %s has nothing signed and nothing reserved',
    async (_what, say, expected) => {
      answer = say;
      expectFailure(signer, await pay(5), ...expected);
      expect(signer.key.digests).toHaveLength(0);
      answer = (response) => response.end(agree);
      expectPaid(await pay(5));
      expectFailure(signer, await pay(1), 429, 'WINDOW_EXHAUSTED');
      expectAllRecorded(signer, join(signer.folder, 'audit'));
    },
  );

  it('that is down has nothing signed and nothing reserved, and is asked again when it is back', async () => {
    answer = (response) => response.end(agree);
    const { port } = webhook.address() as AddressInfo;
    webhook.close();
    webhook.closeAllConnections();
    expectFailure(signer, await pay(5), ...failed);
    expect(signer.key.digests).toHaveLength(0);
    webhook.listen(port, '127.0.0.1');
    await once(webhook, 'listening');
    expectPaid(await pay(5));
  });
});

describe('a token issuer', () => {
  const issuer = 'https://issuer.example';
  const audience = 'signer';
  const key = newIssuerKey('one', 'ES256');
  let jwks: JwksServer;

  beforeEach(async () => {
    jwks = new JwksServer();
    await jwks.start();
    const jwt = [{ issuer, audience, jwksUrl: jwks.url }];
    signer = await startGuardedSigner({ policy: fiveTickets, settings: { auth: { jwt } } });
  });
  afterEach(() => jwks.stop());

  function payWithToken(tickets: number, signedWith = key): Promise<TestAnswer> {
    const exp = Number(usualNow / 1_000_000_000n) + 300;
    const claims: Claims = { iss: issuer, aud: audience, sub: 'gateway-1', exp };
    return pay(tickets, { Authorization: `Bearer ${signToken(signedWith, claims)}` });
  }

  const html = { status: 200, body: '<html>Sign in</html>' };
  const broken = { status: 200, body: '{"keys":[{"kty":"EC","crv":' };
  const unavailable = { status: 503, body: '{"keys":[]}' };
  it.each([
    ['hangs', () => (jwks.answer = undefined)],
    ['is down', () => jwks.stop()],
    ['answers with HTML', () => (jwks.answer = html)],
    ['answers with half of its JSON', () => (jwks.answer = broken)],
    ['is overloaded', () => (jwks.answer = unavailable)],
  ])('that %s has no payment made, until its keys can be had', async (what, fail) => {
    await fail();
    expectFailure(signer, await payWithToken(5), 503, 'AUTH_UNAVAILABLE');
    expect(signer.key.digests).toHaveLength(0);
    if (what === 'is down') await jwks.start();
    jwks.publish(key);
    expectPaid(await payWithToken(5));
  });

  it('may be away while its keys are known', async () => {
    jwks.publish(key);
    expectPaid(await payWithToken(2));
    await jwks.stop();
    expectPaid(await payWithToken(2));
    signer.key.reset();
    const forged = { ...newIssuerKey('other', 'ES256'), kid: 'one' };
    expectFailure(signer, await payWithToken(1, forged), 401, 'CREDENTIAL_INVALID');
    expect(signer.key.digests).toHaveLength(0);
  });
});

describe('a policy file that is deleted', () => {
  it('stays in force, with a problem in the log, until there is one again', async () => {
    signer = await startGuardedSigner({ policy: fiveTickets });
    const { sealed } = expectPaid(await pay(3));
    rmSync(join(signer.folder, 'policy.yaml'));
    const isNoticed = () =>
      signer.logLines.some(
        ({ level, msg, problem }) =>
          level === 50 &&
          msg === 'file not reloaded: what was in force stays' &&
          String(problem).includes('does not exist'),
      );
    await expect.poll(isNoticed, patiently).toBe(true);
    signer.key.reset();
    expectFailure(signer, await pay(3), 429, 'WINDOW_EXHAUSTED');
    expect(signer.key.digests).toHaveLength(0);
    expectPaid(await signer.post(await nextPayment(sealed, 2)));
    expect(await readReadiness(signer)).toEqual({ status: 200, problems: {} });

    signer.writePolicy(fiveTickets.replace('tickets: 5', 'tickets: 6'));
    await expect.poll(async () => (await pay(1)).status, patiently).toBe(200);
    expectFailure(signer, await pay(1), 429, 'WINDOW_EXHAUSTED');
  });
});
