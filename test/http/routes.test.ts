import { once } from 'node:events';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { envelope, exchange, statusesIn } from './app.ts';

let signer: TestSigner;
let port: number;

beforeAll(async () => {
  signer = await startTestSigner();
  port = Number(new URL(signer.url).port);
});

afterAll(() => signer.close());

function ask(method: string, path: string, headers = ''): Promise<string> {
  return exchange(
    port,
    `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${headers}\r\n`,
  );
}

function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

const notFound = '404 page not found\n';

describe('methods', () => {
  it.each(['GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE'])(
    '%s is refused on both endpoints, which take POST',
    async (method) => {
      for (const path of ['/sign-orchestrator-info', '/generate-live-payment']) {
        const answer = await ask(method, path);
        expect(statusesIn(answer)).toEqual([405]);
        expect(answer).toMatch(/^Allow: POST\r$/m);
        expect(answer).toMatch(/^Content-Type: text\/plain; charset=utf-8\r$/m);
        expect(bodyOf(answer)).toBe(method === 'HEAD' ? '' : 'Method Not Allowed\n');
      }
    },
  );

  it.each(['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE'])(
    '%s /healthz is answered with 200 and no body',
    async (method) => {
      const answer = await ask(method, '/healthz');
      expect(statusesIn(answer)).toEqual([200]);
      expect(bodyOf(answer)).toBe('');
    },
  );

  it('CONNECT gets nothing', async () => {
    expect(await ask('CONNECT', 'example.org:443')).toBe('');
  });

  it('TRACE does not echo the request', async () => {
    const answer = await ask('TRACE', '/healthz', 'Authorization: Bearer secret\r\n');
    expect(answer).not.toContain('secret');
  });
});

it('the log has the path of a refused request, and neither its query nor its credentials', async () => {
  const secret = 'pa55-in-the-address';
  const before = signer.logLines.length;
  const headers = `Authorization: Bearer ${secret}\r\nCookie: a=${secret}\r\nContent-Length: 0\r\n`;
  const answer = await ask('POST', `/generate-live-payment?api_key=${secret}`, headers);
  expect(statusesIn(answer)).toEqual([400]);
  const lines = signer.logLines.slice(before);
  expect(lines).toMatchObject([{ msg: 'request refused', path: '/generate-live-payment' }]);
  expect(JSON.stringify(lines)).not.toContain(secret);
});

describe('paths', () => {
  it.each([
    '/sign-orchestrator-info/',
    '/Sign-Orchestrator-Info',
    '//sign-orchestrator-info/',
    '/sign-orchestrator-info/..',
    '/sign-orchestrator-info%3Fa',
    '/sign-orchestrator-info%23',
    '/generate-live-payment/',
    '/GENERATE-LIVE-PAYMENT',
    '/healthz/',
    '/discover-orchestrators',
    '/',
    '/%',
    '/%zz',
    '/%c0%af',
    '/generate-live-payment%00',
    '*',
  ])('%s is not found', async (path) => {
    const answer = await ask('POST', path, 'Content-Length: 0\r\n');
    expect(statusesIn(answer)).toEqual([404]);
    expect(answer).toMatch(/^Content-Type: text\/plain; charset=utf-8\r$/m);
    expect(bodyOf(answer)).toBe(notFound);
  });

  it.each([
    '/sign-orchestrator-info',
    '/sign-orchestrator-info?',
    '/sign-orchestrator-info?a=%zz&b',
    '//sign-orchestrator-info',
    '///sign-orchestrator-info?a=//',
    '/./sign-orchestrator-info',
    '/v1/../sign-orchestrator-info',
    '/../../sign-orchestrator-info',
    '/sign%2Dorchestrator-info',
    '/%2e/sign-orchestrator-info',
    'http://signer.example/sign-orchestrator-info',
    'http://signer.example//sign-orchestrator-info',
    'http://signer.example:80/sign-orchestrator-info?a=b',
  ])('%s is the endpoint', async (path) => {
    const answer = await ask('POST', path, 'Content-Length: 0\r\n');
    expect(statusesIn(answer)).toEqual([200]);
    expect(JSON.parse(bodyOf(answer))).toEqual({
      address: signer.checksumAddress,
      signature: expect.stringMatching(/^0x[0-9a-f]{130}$/) as string,
    });
  });
});

describe('bodies', () => {
  it('of /sign-orchestrator-info are ignored, whatever they are', async () => {
    for (const body of ['', '{}', 'not json', '\0\x01']) {
      const response = await fetch(`${signer.url}/sign-orchestrator-info`, {
        method: 'POST',
        body,
      });
      expect(response.status).toBe(200);
    }
  });

  it('of any type and character set are read as JSON', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'a/b; charset=utf-16']) {
      const { status } = await signer.post(payableRequest(), { 'Content-Type': type });
      expect(status).toBe(200);
    }
  });

  it('without a Content-Type are read', async () => {
    const body = payableRequest();
    const answer = await ask(
      'POST',
      '/generate-live-payment',
      `Content-Length: ${body.length}\r\n\r\n${body}`.replace(/\r\n$/, ''),
    );
    expect(statusesIn(answer)).toEqual([200]);
  });

  it('in chunks are put together', async () => {
    const chunks = payableRequest()
      .match(/.{1,100}/g)
      ?.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
    const answer = await exchange(
      port,
      'POST /generate-live-payment HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n',
      ...(chunks ?? []),
      '0\r\n\r\n',
    );
    expect(statusesIn(answer)).toEqual([200]);
    expect(answer).toContain('{"payment":"');
  });

  it('that are compressed are refused, nothing being inflated', async () => {
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'bogus']) {
      const { status, text } = await signer.post('\x1f\x8b', { 'Content-Encoding': encoding });
      expect(status).toBe(400);
      expect(text).toBe(envelope("request can't be read: content encoding unsupported"));
    }
  });

  it('with both lengths, which proxies could read differently, are refused', async () => {
    const answer = await exchange(
      port,
      'POST /generate-live-payment HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(statusesIn(answer)).toEqual([400]);
  });

  it('that are empty or missing are refused in the envelope', async () => {
    for (const lengths of ['', 'Content-Length: 0\r\n']) {
      const answer = await ask('POST', '/generate-live-payment', lengths);
      expect(statusesIn(answer)).toEqual([400]);
      expect(answer).toMatch(/^Content-Type: application\/json\r$/m);
      expect(JSON.parse(bodyOf(answer))).toEqual({
        error: { message: expect.stringMatching(/\S/) as string },
      });
    }
  });

  it('announced with Expect: 100-continue are asked for', async () => {
    const body = payableRequest();
    const request = http.request(`${signer.url}/generate-live-payment`, {
      method: 'POST',
      headers: { Expect: '100-continue', 'Content-Length': body.length },
    });
    const answered = once(request, 'response');
    request.flushHeaders();
    await once(request, 'continue');
    request.end(body);
    const [response] = (await answered) as [http.IncomingMessage];
    expect(response.statusCode).toBe(200);
    response.resume();
  });
});

describe('connections', () => {
  it('HTTP/1.0 is answered, and closed', async () => {
    const answer = await exchange(port, 'POST /sign-orchestrator-info HTTP/1.0\r\n\r\n');
    expect(statusesIn(answer)).toEqual([200]);
    expect(answer).toMatch(/^Connection: close\r$/m);
  });

  it('serve pipelined requests in their order', async () => {
    const request = (path: string, extra = '') =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${extra}\r\n`;
    const answer = await exchange(
      port,
      request('/sign-orchestrator-info') +
        request('/nowhere') +
        request('/generate-live-payment') +
        request('/healthz', 'Connection: close\r\n'),
    );
    expect(statusesIn(answer)).toEqual([200, 404, 400, 200]);
  });

  it('are kept for the next request, also after a refusal', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (const body of [payableRequest(), '{', payableRequest()]) {
      const request = http.request(`${signer.url}/generate-live-payment`, {
        agent,
        method: 'POST',
      });
      request.end(body);
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      ports.add(response.socket.localPort);
      response.resume();
      await once(response, 'end');
    }
    agent.destroy();
    expect(ports.size).toBe(1);
  });

  it('with headers over 16 KiB are refused with 431, and with none of the app’s doing', async () => {
    const answer = await ask('POST', '/sign-orchestrator-info', `X-Big: ${'a'.repeat(17_000)}\r\n`);
    expect(statusesIn(answer)).toEqual([431]);
  });

  it.each(['hello\r\n\r\n', '\x16\x03\x01\x02\x00\x01', 'POST / HTTP/1.1\r\n\r\n'])(
    'that do not speak HTTP get 400: %j',
    async (bytes) => {
      expect(statusesIn(await exchange(port, bytes))).toEqual([400]);
    },
  );
});

describe('request ids', () => {
  it('are in every answer, never twice, and found in the log', async () => {
    signer.logLines.length = 0;
    const answers = await Promise.all([
      signer.post(payableRequest()),
      signer.post('{}'),
      signer.post('{'),
    ]);
    const others = await Promise.all([
      fetch(`${signer.url}/healthz`),
      fetch(`${signer.url}/nowhere`),
      fetch(`${signer.url}/generate-live-payment`),
      fetch(`${signer.url}/sign-orchestrator-info`, { method: 'POST' }),
    ]);
    const ids = [...answers, ...others].map(({ headers }) => headers.get('x-request-id'));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
    expect(answers.map(({ status }) => status)).toEqual([200, 400, 400]);
    const logged = signer.logLines.map((line) => line['request_id']);
    expect(logged.toSorted()).toEqual(ids.slice(0, 3).toSorted());
  });

  it('are the signer’s own, not the caller’s', async () => {
    const { headers } = await signer.post('{}', { 'X-Request-Id': 'mine' });
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  });
});

it('says nothing of what it is made of', async () => {
  const { headers } = await signer.post('{}');
  expect([...headers.keys()].toSorted()).toEqual([
    'connection',
    'content-length',
    'content-type',
    'date',
    'keep-alive',
    'livepeer-signer-code',
    'x-request-id',
  ]);
});
