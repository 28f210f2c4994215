import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/auth/authorization.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { createWebhookAuthorizer, readAnswer } from '../../src/auth/webhook.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { Secret } from '../../src/secret.ts';

const caller: Caller = {
  headers: new Map(),
  authId: '',
  credentialHash: '',
  principal: anonymous,
};

describe('a question to the auth webhook', () => {
  let answer: ((response: http.ServerResponse) => void) | undefined;
  const asked: http.IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request);
    request.resume();
    answer?.(response);
  });
  let url = '';
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  beforeEach(() => {
    asked.length = 0;
    answer = (response) => response.end('{"status":200}');
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  const ask = (options: object = {}, signal: AbortSignal = new AbortController().signal) =>
    createWebhookAuthorizer({
      ...{ url, headers: {}, timeoutMs: 10_000, encodeState: () => '{}' },
      ...options,
    })(caller, {} as SessionState, signal).catch((error: unknown) => error);

  it.each([201, 204, 206, 400, 401, 404, 500, 503])(
    'that is answered with HTTP status %i has failed, and says so',
    async (status) => {
      answer = (response) => response.writeHead(status).end();
      expect(await ask()).toMatchObject({
        code: 'AUTH_WEBHOOK_FAILED',
        details: `it answered with HTTP status ${status}, not 200`,
      });
    },
  );

  it.each([300, 301, 399])('that is answered with status %i is not for there', async (status) => {
    answer = (response) => response.writeHead(status, { Location: '/elsewhere' }).end();
    expect(await ask()).toMatchObject({
      code: 'AUTH_WEBHOOK_ANSWER_INVALID',
      details: `HTTP status ${status}: set auth.webhook.url to where it leads`,
    });
    expect(asked).toHaveLength(1);
  });

  it('is a POST of JSON, with the headers that are configured, secret ones too', async () => {
    await ask();
    await ask({ headers: { 'X-Token': new Secret('s3cret'), 'Content-Type': 'text/json' } });
    expect(asked.map(({ method }) => method)).toEqual(['POST', 'POST']);
    const [first, second] = asked.map(({ headers }) => headers);
    expect(first).toMatchObject({ 'content-type': 'application/json' });
    expect(first).not.toHaveProperty('x-token');
    expect(second).toMatchObject({ 'content-type': 'text/json', 'x-token': 's3cret' });
  });

  it('has an end, the webhook’s own or the request’s', async () => {
    answer = undefined;
    expect(await ask({ timeoutMs: 50 })).toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
      details: 'no answer in time',
    });
    const ended = new AbortController();
    answer = () => ended.abort(new Error('the client is gone'));
    expect(await ask({}, ended.signal)).toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
      cause: { message: 'the client is gone' },
    });
  });

  it('is answered also in several parts', async () => {
    answer = (response) => {
      response.write('{"status":200,');
      setTimeout(() => response.end('"auth_id":"acme:1"}'), 50);
    };
    expect(await ask()).toMatchObject({ authId: 'acme:1' });
  });

  it('has an end while its answer comes, too', async () => {
    answer = (response) => response.write('{"status":');
    expect(await ask({ timeoutMs: 50 })).toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
      details: 'no answer in time',
    });
  });
});

describe('the auth webhook’s answer', () => {
  const read = (json: string) => readAnswer(Buffer.from(json));

  it('may have a ceiling, of which parts and spellings add up, and which null takes away', () => {
    const ceiling = '"maxPrice":{"price":5,"currency":"wei","unit":"seconds"}';
    const granted = { expiry: 0n, authId: '' };
    expect(read(`{"status":200,${ceiling}}`)).toEqual({
      ...granted,
      maxPrice: { price: '5', currency: 'wei', unit: 'seconds' },
    });
    expect(read(`{"status":200,${ceiling},"MAXPRICE":{"price":"6"}}`)).toEqual({
      ...granted,
      maxPrice: { price: '6', currency: 'wei', unit: 'seconds' },
    });
    expect(read('{"status":200,"maxPrice":{}}')).toEqual({
      ...granted,
      maxPrice: { price: '', currency: '', unit: '' },
    });
    expect(read(`{"status":200,${ceiling},"maxPrice":null}`)).toEqual({
      ...granted,
      maxPrice: undefined,
    });
  });

  it('counts by the last of several members, and null counts as none', () => {
    expect(read('{"status":500,"status":200,"status":null,"auth_id":"a","auth_id":"b"}')).toEqual({
      expiry: 0n,
      authId: 'b',
      maxPrice: undefined,
    });
  });

  it.each([
    ['[]', 'field answer: expected an object'],
    ['{"status":"200"}', 'field status: expected an integer from -9223372036854775808'],
    ['{"status":200,"expiry":1.5}', 'field expiry: expected an integer'],
    ['{"status":200,"reason":1}', 'field reason: expected a string'],
    ['{"status":200,"auth_id":1}', 'field auth_id: expected a string'],
    ['{"status":200,"maxPrice":1}', 'field maxPrice: expected an object'],
    ['{"status":200}x', 'invalid character "x" at offset 14'],
  ])('%s is malformed, and the cause says where', (json, message) => {
    let thrown: unknown;
    try {
      read(json);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
      cause: { message: expect.stringContaining(message) as string },
    });
  });
});
