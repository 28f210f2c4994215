import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import type { PaymentCall } from '../../src/payments/generate-live-payment.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startTestSigner, type TestSigner } from '../support/test-signer.ts';
import { type TestApp, envelope, exchange, startApp, statusesIn } from './app.ts';

const open: (TestApp | TestSigner)[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(...options: Parameters<typeof startApp>): Promise<TestApp> {
  const app = await startApp(...options);
  open.push(app);
  return app;
}

const neverCalled = (): never => {
  throw new Error('the use case was reached');
};

/** Calls wait until their signal is aborted. */
function waitForAbort({ signal }: PaymentCall): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () =>
      reject(new ProviderError('PROVIDER_TIMEOUT', 'aborted', { cause: signal.reason })),
    );
  });
}

/** Tickets and credentials of {@link payableRequest}. */
const callsOfPayment = 4;

const head = 'POST /generate-live-payment HTTP/1.1\r\nHost: a\r\n';

describe('the body limit', () => {
  const limit = 1024;

  it('lets a body of just that size through', async () => {
    const sizes: number[] = [];
    const app = await start(
      ({ body }) => {
        sizes.push(body.length);
        return Promise.reject(new ProviderError('PROVIDER_CLOSED', 'enough'));
      },
      { bodyLimitBytes: limit },
    );
    for (const size of [0, 1, limit]) {
      await fetch(`${app.url}/generate-live-payment`, { method: 'POST', body: 'x'.repeat(size) });
    }
    expect(sizes).toEqual([0, 1, limit]);
  });

  it('answers 413 in the envelope to an announced body over it', async () => {
    const app = await start(neverCalled, { bodyLimitBytes: limit });
    const response = await fetch(`${app.url}/generate-live-payment`, {
      method: 'POST',
      body: 'x'.repeat(limit + 1),
    });
    expect(response.status).toBe(413);
    expect(await response.text()).toBe(envelope('request body is over 1024 bytes'));
    expect(app.logLines).toMatchObject([{ code: 'BODY_TOO_LARGE', status: 413 }]);
  });

  it('answers 413 to a body in chunks as soon as it is over', async () => {
    const app = await start(neverCalled, { bodyLimitBytes: limit });
    const answer = await exchange(
      app.port,
      `${head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n${'x'.repeat(0x401)}\r\n`,
      '0\r\n\r\n',
    );
    expect(statusesIn(answer)).toEqual([413]);
  });

  it('keeps the connection usable for the next request', async () => {
    const app = await start(neverCalled, { bodyLimitBytes: limit });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const statuses: (number | undefined)[] = [];
    for (const [path, body] of [
      ['/generate-live-payment', 'x'.repeat(20_000)],
      ['/sign-orchestrator-info', ''],
    ] as const) {
      const request = http.request(`${app.url}${path}`, { agent, method: 'POST' });
      request.end(body);
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      statuses.push(response.statusCode);
      response.resume();
      await once(response, 'end');
    }
    agent.destroy();
    expect(statuses).toEqual([413, 200]);
  });
});

describe('slow clients', () => {
  const timeouts = { headersTimeoutMs: 300, receiveTimeoutMs: 600 };

  it.each([
    { what: 'send no complete headers', bytes: head },
    { what: 'send no complete body', bytes: `${head}Content-Length: 10\r\n\r\n{` },
    {
      what: 'send no complete chunk',
      bytes: `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nab`,
    },
  ])('that $what are cut off with 408', async ({ bytes }) => {
    const app = await start(neverCalled, timeouts);
    const answer = await exchange(app.port, bytes);
    expect(statusesIn(answer)).toEqual([408]);
  });

  it('have receiveTimeoutMs for a body whose headers came in headersTimeoutMs', async () => {
    const app = await start(neverCalled, { headersTimeoutMs: 300, receiveTimeoutMs: 3_000 });
    const startedAt = performance.now();
    const answer = await exchange(app.port, `${head}Content-Length: 10\r\n\r\n{`);
    expect(statusesIn(answer)).toEqual([408]);
    expect(performance.now() - startedAt).toBeGreaterThan(2_900);
  });

  it('that drip a byte at a time are cut off all the same', async () => {
    const app = await start(neverCalled, timeouts);
    const socket = net.connect(app.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(`${head}Content-Length: 1000\r\n\r\n`);
    const dripping = setInterval(() => socket.write('x'), 20);
    // a write that crosses the server's closing is an error, which is as good
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(dripping);
    // the body was never complete
    expect(socket.bytesWritten).toBeLessThan(1000);
  });

  it('that leave a connection idle are closed after keepAliveTimeoutMs', async () => {
    const app = await start(neverCalled, { keepAliveTimeoutMs: 1_000 });
    const answer = await exchange(app.port, 'POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statusesIn(answer)).toEqual([200]);
    expect(answer).toContain('\r\nKeep-Alive: timeout=1\r\n');
  });
});

it('a connection is kept for longer than load balancers keep it, Google’s for 600 s', () => {
  expect(configSchema.shape.server.parse({}).keepAliveTimeoutMs).toBeGreaterThan(600_000);
});

describe('the deadline', () => {
  it('aborts the work and answers 503 with Retry-After', async () => {
    const app = await start(waitForAbort, { requestDeadlineMs: 150 });
    const startedAt = performance.now();
    const response = await fetch(`${app.url}/generate-live-payment`, {
      method: 'POST',
      body: '{}',
    });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.text()).toBe(envelope('Service Unavailable Error'));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(145);
  });

  it('counts from the head of the request: a late body leaves less time', async () => {
    const signals: AbortSignal[] = [];
    const app = await start(
      (call) => {
        signals.push(call.signal);
        return waitForAbort(call);
      },
      { requestDeadlineMs: 1_000 },
    );
    const socket = net.connect(app.port, '127.0.0.1');
    await once(socket, 'connect');
    const startedAt = performance.now();
    socket.write(`${head}Connection: close\r\nContent-Length: 2\r\n\r\n{`);
    await delay(600);
    socket.write('}');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(statusesIn(answer.toString())).toEqual([503]);
    expect(signals).toHaveLength(1);
    expect(performance.now() - startedAt).toBeLessThan(1_550);
    socket.destroy();
  });

  it('is 408 for a body that has not come by then, and closes the connection', async () => {
    const app = await start(neverCalled, { requestDeadlineMs: 200 });
    const answer = await exchange(app.port, `${head}Content-Length: 10\r\n\r\n{`);
    expect(statusesIn(answer)).toEqual([408]);
    expect(answer).toContain(envelope('the request body did not come in time'));
    expect(app.logLines).toMatchObject([{ code: 'BODY_LATE', status: 408 }]);
  });

  it('holds for a key that takes too long, whatever its provider does', async () => {
    const device: { held?: Promise<void> } = {};
    const signer = await startTestSigner({
      settings: { server: { listen: '127.0.0.1:0', requestDeadlineMs: 2_000 } },
      reply: async (signature) => {
        await device.held;
        return { encoding: 'raw', bytes: signature };
      },
    });
    open.push(signer);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    device.held = promise;
    const { status, text } = await signer.post(payableRequest());
    expect(signer.key.digests).toHaveLength(callsOfPayment);
    resolve(undefined);
    expect({ status, text }).toEqual({ status: 503, text: envelope('Service Unavailable Error') });
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'PROVIDER_TIMEOUT', status: 503 });
  });
});

describe('idle connections', () => {
  async function connect(app: TestApp): Promise<net.Socket> {
    const socket = net.connect(app.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'data');
    return socket;
  }

  it('are as many as configured: the one idle for longest is closed', async () => {
    const app = await start(neverCalled, { maxIdleConnections: 3 });
    const sockets: net.Socket[] = [];
    for (let count = 0; count < 3; count += 1) sockets.push(await connect(app));
    const [first, second] = sockets;
    if (!first || !second) throw new Error('three were to be opened');
    // the first one is used again, so that the second one has been idle for longest
    first.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(first, 'data');
    const closed = once(second, 'close');
    sockets.push(await connect(app));
    second.resume();
    await closed;
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, true, false, false]);
    sockets.forEach((socket) => socket.destroy());
  });

  it('count before their first request too, and those with a request under way do not', async () => {
    const underWay = Promise.withResolvers<never>();
    const reached = Promise.withResolvers<undefined>();
    const app = await start(
      () => {
        reached.resolve(undefined);
        return underWay.promise;
      },
      { maxIdleConnections: 1 },
    );
    const answered = fetch(`${app.url}/generate-live-payment`, { method: 'POST', body: '{}' });
    await reached.promise;
    const silent = net.connect(app.port, '127.0.0.1');
    await once(silent, 'connect');
    const closed = once(silent, 'close');
    silent.resume();
    const other = await connect(app);
    await closed;
    underWay.reject(new ProviderError('PROVIDER_CLOSED', 'enough'));
    expect((await answered).status).toBe(503);
    other.destroy();
  });
});

describe('a client that goes away', () => {
  it('while its payment is signed aborts the calls to the key', async () => {
    const signals: AbortSignal[] = [];
    const aborted = Promise.withResolvers<unknown>();
    const app = await start((call) => {
      signals.push(call.signal);
      call.signal.addEventListener('abort', () => aborted.resolve(call.signal.reason));
      return waitForAbort(call);
    });
    const client = new AbortController();
    const request = fetch(`${app.url}/generate-live-payment`, {
      method: 'POST',
      body: '{}',
      signal: client.signal,
    });
    while (signals.length === 0) await delay(5);
    expect(signals[0]?.aborted).toBe(false);
    client.abort();
    await expect(request).rejects.toThrow();
    expect(await aborted.promise).toEqual(new Error('the client has gone away'));
  });

  it('reaches the provider’s own signal', async () => {
    const slow = await startTestSigner({ delayMs: 300, concurrency: 1 });
    open.push(slow);
    const before = slow.logLines.length;
    const client = new AbortController();
    const request = fetch(`${slow.url}/generate-live-payment`, {
      method: 'POST',
      body: payableRequest(),
      signal: client.signal,
    });
    while (slow.key.digests.length === 0) await delay(5);
    client.abort();
    await expect(request).rejects.toThrow();
    while (slow.logLines.length === before) await delay(5);
    expect(slow.logLines.at(-1)).toMatchObject({ level: 30, code: 'REQUEST_ABORTED' });
    // its other calls were to be made before those of the next payment
    expect((await slow.post(payableRequest())).status).toBe(200);
    expect(slow.key.digests).toHaveLength(1 + callsOfPayment);
  });

  it('before its body is complete reaches nothing', async () => {
    const app = await start(neverCalled);
    const socket = net.connect(app.port, '127.0.0.1');
    socket.write(`${head}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n{`);
    await once(socket, 'data');
    socket.destroy();
    while (app.logLines.length === 0) await delay(5);
    expect(app.logLines).toMatchObject([{ code: 'BODY_MALFORMED', status: 400 }]);
  });

  it('after the answer aborts nothing', async () => {
    const signals: AbortSignal[] = [];
    const app = await startApp((call) => {
      signals.push(call.signal);
      return Promise.reject(new ProviderError('PROVIDER_CLOSED', 'no'));
    });
    await fetch(`${app.url}/generate-live-payment`, { method: 'POST', body: '{}' });
    // closes the connection, and waits until it is
    await app.close();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });
});

describe('a defect', () => {
  const secret = 'f00dfeedf00dfeed';

  it.each([
    { thrown: new TypeError(`x.${secret} is not a function`), what: 'a TypeError' },
    { thrown: Object.assign(new Error(secret), { status: 413 }), what: 'an error with a status' },
    { thrown: { message: secret, status: 404 }, what: 'what is no Error' },
  ])('that throws $what is a masked 500, logged as a defect', async ({ thrown }) => {
    const app = await start(() => {
      throw thrown as Error;
    });
    const response = await fetch(`${app.url}/generate-live-payment`, {
      method: 'POST',
      body: '{}',
    });
    expect(response.status).toBe(500);
    expect(await response.text()).toBe(envelope('Internal Server Error'));
    expect(JSON.stringify([...response.headers])).not.toContain(secret);
    expect(app.logLines).toMatchObject([
      {
        msg: 'defect',
        level: 50,
        status: 500,
        code: 'INTERNAL',
        request_id: response.headers.get('x-request-id'),
      },
    ]);
    expect(JSON.stringify(app.logLines)).not.toContain(secret);
    if (thrown instanceof Error) expect(app.logLines[0]?.['stack']).toContain('limits.test.ts');
  });

  it('leaves the server running', async () => {
    const app = await start(neverCalled);
    for (let call = 0; call < 3; call += 1) {
      await fetch(`${app.url}/generate-live-payment`, { method: 'POST', body: '{}' });
    }
    expect((await fetch(`${app.url}/healthz`)).status).toBe(200);
  });
});
