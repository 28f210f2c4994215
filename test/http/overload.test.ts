import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { Lateness } from '../../src/http/overload-guard.ts';
import type { LivePaymentResult } from '../../src/payments/generate-live-payment.ts';
import { type TestApp, envelope, startApp } from './app.ts';

const result: LivePaymentResult = { answer: '{}', payment: undefined };
const post = (app: TestApp): Promise<Response> =>
  fetch(`${app.url}/generate-live-payment`, { method: 'POST', body: '{}' });

describe('an overloaded server', () => {
  let app: TestApp;
  afterEach(() => app.close());

  it('refuses what is beyond maxRequestsInWork, and serves again when there is room', async () => {
    const arrivals: (() => void)[] = [];
    const { promise: answered, resolve: answerAll } = Promise.withResolvers<LivePaymentResult>();
    app = await startApp(
      () => {
        arrivals.shift()?.();
        return answered;
      },
      { maxRequestsInWork: 2, requestDeadlineMs: 600_000 },
    );
    const arrived = [1, 2].map(() => new Promise<void>((resolve) => arrivals.push(resolve)));
    const served = [post(app), post(app)];
    await Promise.all(arrived);

    const refused = await post(app);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.text()).toBe(envelope('Service Unavailable Error'));
    expect(app.logLines.at(-1)).toMatchObject({
      code: 'SERVER_OVERLOADED',
      data: { field: 'server.maxRequestsInWork', maximum: '2' },
    });
    expect((await fetch(`${app.url}/healthz`)).status).toBe(200);

    answerAll(result);
    expect((await Promise.all(served)).map(({ status }) => status)).toEqual([200, 200]);
    await expect.poll(async () => (await post(app)).status, { timeout: 60_000 }).toBe(200);
  });

  it('refuses at once what it gets to too late, and serves again when it keeps up', async () => {
    let turnMs = 400;
    app = await startApp(
      () => {
        const untilMs = performance.now() + turnMs;
        while (performance.now() < untilMs);
        return Promise.resolve(result);
      },
      { requestDeadlineMs: 1000 },
    );
    const statuses: number[] = [];
    const payOnAndOn = async (): Promise<void> => {
      for (let count = 0; count < 3; count += 1) statuses.push((await post(app)).status);
    };
    await Promise.all(Array.from({ length: 6 }, payOnAndOn));
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    expect(app.logLines.filter(({ code }) => code === 'SERVER_OVERLOADED')).not.toEqual([]);

    turnMs = 0;
    await expect.poll(async () => (await post(app)).status, { timeout: 60_000 }).toBe(200);
  });

  it('is not one that a client left without its answer', async () => {
    const arrived = Promise.withResolvers<undefined>();
    let calls = 0;
    app = await startApp(
      async ({ signal }) => {
        calls += 1;
        if (calls > 1) return result;
        arrived.resolve(undefined);
        await once(signal, 'abort');
        return result;
      },
      { maxRequestsInWork: 1, requestDeadlineMs: 600_000 },
    );
    const leaving = new AbortController();
    const url = `${app.url}/generate-live-payment`;
    const left = fetch(url, { method: 'POST', body: '{}', signal: leaving.signal });
    await arrived.promise;
    leaving.abort();
    await expect(left).rejects.toThrow();
    await expect.poll(async () => (await post(app)).status, { timeout: 60_000 }).toBe(200);
  });
});

describe('lateness', () => {
  const after = (...ticksMs: number[]): Lateness => {
    const lateness = new Lateness(0);
    for (const tick of ticksMs) lateness.tick(tick);
    return lateness;
  };

  it('is nothing while the timer is on time', () => {
    expect(after(50, 100, 150).expectedMs(180)).toBe(0);
  });

  it('counts a single stall once: requests that waited through it can still be answered', () => {
    expect(after(50, 2100).expectedMs(2100)).toBe(2000);
    expect(after(50, 2100, 2150).expectedMs(2150)).toBe(0);
  });

  it('counts a turn that lasts for the turns to come', () => {
    expect(after(2050, 4100).expectedMs(4100)).toBe(6000);
  });

  it('sees a turn that has not ended yet', () => {
    expect(after(50).expectedMs(3100)).toBe(3000);
    expect(after(2050).expectedMs(4100)).toBe(6000);
  });
});
