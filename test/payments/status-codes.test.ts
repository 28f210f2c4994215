import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type TestAnswer, type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { envelope, expectError, expectPaid, expectRefusal } from './expectations.ts';
import { type Changes, buildRequest, lastL1Block, uint, usualNow } from './request-builder.ts';

const urlHeader = 'livepeer-orchestrator-url';
const refresh = 'refresh session for remote signer';

describe('statuses and headers', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await startTestSigner();
    signer.now = usualNow;
  });
  beforeEach(() => signer.key.reset());
  afterAll(() => signer.close());

  async function send(method: string, path: string): Promise<TestAnswer> {
    const response = await fetch(`${signer.url}${path}`, { method });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  function expectPlainText(method: string, answer: TestAnswer, status: number, text: string) {
    expect(answer.status).toBe(status);
    expect(answer.text).toBe(method === 'HEAD' ? '' : text);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(answer.headers.has('x-powered-by')).toBe(false);
    expect(signer.key.digests).toHaveLength(0);
  }

  const unknownPaths = [
    '/',
    '/generate-live-payment/',
    '/Generate-Live-Payment',
    '/generate-live-payment/x',
    '/v1/generate-live-payment',
    '/sign-orchestrator-info/',
    '/discover-orchestrators',
    '/sign-byoc-job',
    '/sign',
    '/favicon.ico',
    '/healthz/',
    '/%zz',
  ];
  it.each(unknownPaths)('answers 404 as plain text on %s', async (path) => {
    for (const method of ['GET', 'POST', 'HEAD', 'DELETE']) {
      const answer = await send(method, path);
      expectPlainText(method, answer, 404, '404 page not found\n');
    }
  });

  const otherMethods = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
  it.each(otherMethods)('answers 405 with Allow, as plain text, on %s', async (method) => {
    for (const path of ['/generate-live-payment', '/sign-orchestrator-info?x=1']) {
      const answer = await send(method, path);
      expectPlainText(method, answer, 405, 'Method Not Allowed\n');
      expect(answer.headers.get('allow')).toBe('POST');
    }
  });

  it.each([...otherMethods, 'POST'])('answers 200 with no body on %s /healthz', async (method) => {
    const answer = await send(method, '/healthz');
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '' });
    expect(answer.headers.get('content-length')).toBe('0');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  });

  it('answers sign-orchestrator-info whatever its body is, without using the key again', async () => {
    for (const body of [undefined, '{}', 'not JSON', Buffer.alloc(10_000)]) {
      const response = await fetch(`${signer.url}/sign-orchestrator-info`, {
        method: 'POST',
        ...(body !== undefined && { body }),
      });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(await response.text()).toBe(vectors.infoSig.responseBody);
    }
    expect(signer.key.digests).toHaveLength(0);
  });

  it('answers 413 with the error envelope when the body is over the limit', async () => {
    const answer = await signer.post(`{"x":"${'a'.repeat(65_536)}"}`);
    expectRefusal(signer, answer, 413, 'request body is over 65536 bytes');
  });

  it('ends every JSON answer with one line break, after one JSON value', async () => {
    const answers = [
      await signer.post(await buildRequest()),
      await signer.post('{}'),
      await send('POST', '/sign-orchestrator-info'),
    ];
    for (const { text } of answers) {
      expect(text).toMatch(/[^\n]\n$/);
      expect(JSON.stringify(JSON.parse(text))).toBe(text.slice(0, -1));
    }
  });

  it('gives every answer a request id of its own, and logs it', async () => {
    const paid = await signer.post(await buildRequest());
    const refused = await signer.post('{}');
    const unknown = await send('GET', '/unknown');
    const ids = [paid, refused, unknown].map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).toBe(3);
    const logged = signer.logLines.map((line) => line['request_id']);
    expect(logged).toEqual(expect.arrayContaining(ids.slice(0, 2)));
  });

  it('takes no request id from the caller', async () => {
    const answer = await signer.post('{}', { 'X-Request-Id': 'mine' });
    expectRefusal(signer, answer, 400, 'missing orchestrator');
  });

  it('escapes caller’s text in an error as Go does', () => {
    expect(envelope('a<b>&')).toBe('{"error":{"message":"a\\u003cb\\u003e\\u0026"}}\n');
  });

  const expiredToken: Changes = { authToken: { expiration: 1n } };
  const expiredParams: Changes = { ticketParams: { expirationBlock: uint(lastL1Block) } };
  const usedUpNonces: Changes = { state: { SenderNonce: 500 } };
  const utf8 = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
  // prettier-ignore
  const urls: readonly [what: string, transcoder: string, header: string][] = [
    ['a URL', 'https://o.example:8935', 'https://o.example:8935'],
    ['no URL', '', ''],
    ['a URL with a path and a query', 'https://o.example/a?b=c&d=%20#e', 'https://o.example/a?b=c&d=%20#e'],
    ['text that is no URL', 'not a url: <">', 'not a url: <">'],
    ['CR and LF with a header behind them', 'https://o\r\nSet-Cookie: a=b', 'https://oSet-Cookie: a=b'],
    ['CR and LF at its ends', '\r\nhttps://o\r\n\r\n', 'https://o'],
    ['nothing but CR and LF', '\r\n\r\n', ''],
    ['control characters', '\u0000h\u0007t\u001bt\u007fp\t', 'http'],
    ['C1 control characters', 'a\u0080\u0085\u009fb', 'ab'],
    ['spaces around it', '  https://o  ', 'https://o'],
    ['Latin-1 characters', 'https://ö.example/ñ', utf8('https://ö.example/ñ')],
    ['a last character whose last byte is 0xA0', 'https://o.example/à', utf8('https://o.example/à')],
    ['characters beyond Latin-1', 'https://例え.example/Ω😀', utf8('https://例え.example/Ω😀')],
    ['a line separator', 'a\u2028b', utf8('a\u2028b')],
    ['8,000 characters', `https://o/${'a'.repeat(8_000)}`, `https://o/${'a'.repeat(8_000)}`],
  ];
  it.each(urls)('sends the orchestrator’s URL with 480: %s', async (_what, transcoder, header) => {
    for (const cause of [expiredToken, expiredParams, usedUpNonces]) {
      const answer = await signer.post(await buildRequest({ ...cause, info: { transcoder } }));
      expectRefusal(signer, answer, 480, refresh);
      expect(answer.headers.get(urlHeader)).toBe(header);
      expect(answer.headers.has('set-cookie')).toBe(false);
    }
  });

  it('sends 480 for a first payment too', async () => {
    for (const cause of [expiredToken, expiredParams]) {
      const answer = await signer.post(await buildRequest({ ...cause, state: null }));
      expectRefusal(signer, answer, 480, refresh);
    }
  });

  it('spells the header on the wire as Go does', async () => {
    const body = await buildRequest(expiredToken);
    const { default: http } = await import('node:http');
    const rawHeaders = await new Promise<string[]>((resolve, reject) => {
      http
        .request(`${signer.url}/generate-live-payment`, { method: 'POST' }, (response) => {
          response.resume();
          resolve(response.rawHeaders);
        })
        .on('error', reject)
        .end(body);
    });
    expect(rawHeaders).toContain('Livepeer-Orchestrator-Url');
    expect(rawHeaders).toContain('Content-Type');
    expect(rawHeaders).toContain('X-Request-Id');
  });

  it('sends no body but the error with 482, so that the caller keeps its state', async () => {
    const answer = await signer.post(
      await buildRequest({ state: { Balance: '100000000000000000000' } }),
    );
    expectRefusal(signer, answer, 482, 'no tickets');
  });

  it('writes no line of a refusal for a 482, which is how clients pay in time, and one for a 400', async () => {
    const refusals = () => signer.logLines.filter(({ msg }) => msg === 'request refused').length;
    const before = refusals();
    await signer.post(await buildRequest({ state: { Balance: '100000000000000000000' } }));
    expect(refusals()).toBe(before);
    await signer.post('no JSON');
    expect(refusals()).toBe(before + 1);
    expect(signer.logLines.at(-1)).toMatchObject({
      code: 'BODY_MALFORMED',
      cause: 'JsonSyntaxError',
    });
    await signer.post('{"orchestrator":"CgM=","type":"fixed"}');
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'ORCHESTRATOR_MALFORMED' });
    expect(signer.logLines.at(-1)).not.toHaveProperty('cause');
  });

  it('reads a body sent in chunks, and none at all', async () => {
    const body = await buildRequest();
    const chunked = await fetch(`${signer.url}/generate-live-payment`, {
      method: 'POST',
      body: new Blob([body.slice(0, 100), body.slice(100)]).stream(),
      duplex: 'half',
    });
    expect(chunked.status).toBe(200);
    signer.key.reset();
    const none = await send('POST', '/generate-live-payment');
    expectRefusal(signer, none, 400, 'unexpected end of JSON input');
  });

  it('serves on after a caller has gone away', async () => {
    const aborted = new AbortController();
    const call = fetch(`${signer.url}/generate-live-payment`, {
      method: 'POST',
      body: new ReadableStream({ start: (stream) => stream.enqueue(Buffer.from('{')) }),
      duplex: 'half',
      signal: aborted.signal,
    });
    aborted.abort();
    await expect(call).rejects.toThrow();
    expectPaid(await signer.post(await buildRequest()));
  });

  it('answers 500 masked, without the cause, when the clock can’t be read', async () => {
    const broken = await startTestSigner();
    Object.defineProperty(broken, 'now', {
      get: () => {
        throw new Error('no clock');
      },
    });
    try {
      const answer = await broken.post(await buildRequest());
      expectError(answer, 500, 'Internal Server Error');
      expect(broken.key.digests).toHaveLength(0);
    } finally {
      await broken.close();
    }
  });
});
