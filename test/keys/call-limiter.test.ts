import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CallLimiter } from '../../src/keys/call-limiter.ts';

const never = new AbortController().signal;

/** A call that ends when told to. */
function heldCall() {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { work: vi.fn(() => promise), end: () => resolve(undefined) };
}

describe('CallLimiter', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.advanceTimersByTime(1_000_000);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([1, 2, 7, 200, 1000])(
    'starts no more than %i calls in any one second, and nearly as many over a long time',
    async (requestsPerSecond) => {
      const limiter = new CallLimiter({ requestsPerSecond, concurrency: 5000, maxQueued: 50_000 });
      const startsAtMs: number[] = [];
      const calls = 4 * requestsPerSecond;
      const all = Promise.all(
        Array.from({ length: calls }, () =>
          limiter.run(() => {
            startsAtMs.push(performance.now());
            return Promise.resolve();
          }, never),
        ),
      );
      await vi.advanceTimersByTimeAsync(10_000);
      await all;

      expect(startsAtMs).toHaveLength(calls);
      const mostInOneSecond = Math.max(
        ...startsAtMs.map(
          (from) => startsAtMs.filter((at) => at >= from && at < from + 1000).length,
        ),
      );
      expect(mostInOneSecond).toBeLessThanOrEqual(requestsPerSecond);
      expect(Math.max(...startsAtMs) - Math.min(...startsAtMs)).toBeLessThanOrEqual(8000);
    },
  );

  it('lets nobody pass a single call that waits, though there is room again', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 20, concurrency: 10, maxQueued: 10 });
    const started: string[] = [];
    const call = (name: string) =>
      limiter.run(() => {
        started.push(name);
        return Promise.resolve();
      }, never);
    const all = [call('first'), call('second'), call('waits')];
    await vi.advanceTimersByTimeAsync(0);
    expect(started).toEqual(['first', 'second']);
    // the event loop was busy: what was waited for has come, and the timer has not fired yet
    const later = performance.now() + 500;
    const clock = vi.spyOn(performance, 'now').mockReturnValue(later);
    all.push(call('newcomer'));
    await Promise.resolve();
    clock.mockRestore();
    await vi.advanceTimersByTimeAsync(2_000);
    await Promise.all(all);
    expect(started).toEqual(['first', 'second', 'waits', 'newcomer']);
  });

  it.each([7, 30, 70, 130, 300])(
    'wakes up once for each call that waits, at %i calls a second',
    async (requestsPerSecond) => {
      const limiter = new CallLimiter({ requestsPerSecond, concurrency: 500, maxQueued: 500 });
      let started = 0;
      const count = Math.floor(requestsPerSecond / 2);
      const all = Promise.all(
        Array.from({ length: count }, () => limiter.run(() => Promise.resolve(started++), never)),
      );
      await vi.advanceTimersByTimeAsync(0);
      while (started < count) {
        const before = started;
        expect(vi.getTimerCount()).toBe(1);
        await vi.advanceTimersToNextTimerAsync();
        expect(started).toBeGreaterThan(before);
      }
      await all;
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('spreads the calls of a second: a tenth of them at once, the others one after the other', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 200, concurrency: 500, maxQueued: 500 });
    let started = 0;
    const all = Promise.all(
      Array.from({ length: 150 }, () => limiter.run(() => Promise.resolve(started++), never)),
    );
    await vi.advanceTimersByTimeAsync(0);
    expect(started).toBe(20);
    await vi.advanceTimersByTimeAsync(100);
    expect(started).toBeGreaterThan(30);
    expect(started).toBeLessThanOrEqual(38);
    await vi.advanceTimersByTimeAsync(900);
    await all;
  });

  it.each([
    { requestsPerSecond: 180, concurrency: 64, slowCalls: 100, slowMs: 800 },
    { requestsPerSecond: 10, concurrency: 64, slowCalls: 10, slowMs: 1900 },
    { requestsPerSecond: 1, concurrency: 1, slowCalls: 1, slowMs: 2500 },
  ])(
    'has no more than $requestsPerSecond calls arrive in any one second, when the first $slowCalls take $slowMs ms to arrive',
    async ({ requestsPerSecond, concurrency, slowCalls, slowMs }) => {
      const limiter = new CallLimiter({ requestsPerSecond, concurrency, maxQueued: 5000 });
      const arrivalsAtMs: number[] = [];
      const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      const calls = 6 * requestsPerSecond;
      const all = Promise.all(
        Array.from({ length: calls }, (_, index) =>
          limiter.run(async () => {
            await wait(index < slowCalls ? slowMs : 5);
            arrivalsAtMs.push(performance.now());
            await wait(index % 7);
          }, never),
        ),
      );
      await vi.advanceTimersByTimeAsync(120_000);
      await all;

      expect(arrivalsAtMs).toHaveLength(calls);
      const mostInOneSecond = Math.max(
        ...arrivalsAtMs.map(
          (from) => arrivalsAtMs.filter((at) => at >= from && at < from + 1000).length,
        ),
      );
      expect(mostInOneSecond).toBeLessThanOrEqual(requestsPerSecond);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('keeps no more calls under way than its concurrency, and starts the next when one ends', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1000, concurrency: 2, maxQueued: 10 });
    const calls = [heldCall(), heldCall(), heldCall()] as const;
    const results = calls.map(({ work }) => limiter.run(work, never));
    await vi.advanceTimersByTimeAsync(5000);
    expect(calls.map(({ work }) => work.mock.calls.length)).toEqual([1, 1, 0]);

    calls[1].end();
    await vi.advanceTimersByTimeAsync(0);
    expect(calls.map(({ work }) => work.mock.calls.length)).toEqual([1, 1, 1]);

    calls[0].end();
    calls[2].end();
    await Promise.all(results);
  });

  it('starts waiting calls in the order in which they came', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 5, concurrency: 1, maxQueued: 10 });
    const order: number[] = [];
    const results = [0, 1, 2, 3, 4].map((number) =>
      limiter.run(() => Promise.resolve(order.push(number)), never),
    );
    await vi.advanceTimersByTimeAsync(3000);
    await Promise.all(results);
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });

  it('lets lanes take turns, and keeps the order within each', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 100 });
    const order: string[] = [];
    const [a, b, c] = [{}, {}, {}];
    const run = (lane: object, ...names: string[]) =>
      names.map((name) => limiter.run(() => Promise.resolve(order.push(name)), never, { lane }));
    await Promise.all([
      ...run(a, 'a1', 'a2', 'a3', 'a4'),
      ...run(b, 'b1', 'b2'),
      ...run(c, 'c1'),
      ...run(a, 'a5'),
    ]);
    expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4', 'a5']);
  });

  it('lets tenants take turns, however many lanes one of them has', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 100 });
    const order: string[] = [];
    const run = (tenant: string, ...names: string[]) =>
      names.map((name) =>
        limiter.run(() => Promise.resolve(order.push(name)), never, { lane: {}, tenant }),
      );
    await Promise.all([
      ...run('a', 'a1', 'a2', 'a3', 'a4', 'a5'),
      ...run('b', 'b1', 'b2'),
      ...run('', 'own'),
    ]);
    expect(order).toEqual(['a1', 'a2', 'b1', 'own', 'a3', 'b2', 'a4', 'a5']);
  });

  it('lets a tenant have as many calls waiting as it leaves free, and whoever is none fill the queue', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 12 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const outcomes: Promise<unknown>[] = [];
    const queue = (tenant: string, calls: number): void => {
      for (let call = 0; call < calls; call += 1) {
        outcomes.push(
          limiter.run(() => Promise.resolve(), never, { lane: {}, tenant }).catch(String),
        );
      }
    };
    queue('greedy', 20);
    queue('other', 20);
    queue('', 20);
    first.end();
    await running;
    const results = await Promise.all(outcomes);
    const served = [0, 20, 40].map(
      (from) => results.slice(from, from + 20).filter((result) => result === undefined).length,
    );
    expect(served).toEqual([6, 3, 3]);
    expect(results[19]).toMatch('6 calls of this tenant wait');
    expect(results[59]).toMatch('12 calls wait');
  });

  it('says, where one place is free, that it is the tenant’s own calls that are too many', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 2 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const call = (tenant: string) => limiter.run(() => Promise.resolve(tenant), never, { tenant });
    const waiting = call('a');
    await expect(call('a')).rejects.toMatchObject({
      code: 'PROVIDER_THROTTLED',
      retryable: true,
      message: '1 calls of this tenant wait for the key service already; try again later',
    });
    const others = call('b');
    await expect(call('c')).rejects.toMatchObject({
      code: 'PROVIDER_THROTTLED',
      retryable: true,
      message: '2 calls wait for the key service already; try again later',
    });
    expect(limiter.waitingCount).toBe(2);
    first.end();
    await running;
    expect(await Promise.all([waiting, others])).toEqual(['a', 'b']);
    expect(limiter.waitingCount).toBe(0);
  });

  it('counts the calls of all lanes against its bound, and forgets those that left', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 2 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const abort = new AbortController();
    const waiting = [{}, {}].map((lane) =>
      limiter.run(() => Promise.resolve(), abort.signal, { lane }),
    );
    const third = limiter.run(() => Promise.resolve(), never, { lane: {} });
    await expect(third).rejects.toMatchObject({ code: 'PROVIDER_THROTTLED' });
    abort.abort(new Error('gone'));
    for (const call of waiting) await expect(call).rejects.toThrow('gone');

    const next = [{}, {}].map((lane) =>
      limiter.run(() => Promise.resolve('next'), never, { lane }),
    );
    first.end();
    await running;
    await expect(Promise.all(next)).resolves.toEqual(['next', 'next']);
  });

  it('limits concurrency alone where no rate is given', async () => {
    const limiter = new CallLimiter({ concurrency: 50_000, maxQueued: 1 });
    const calls = Array.from({ length: 20_000 }, () => heldCall());
    const results = calls.map(({ work }) => limiter.run(work, never));
    expect(calls.filter(({ work }) => work.mock.calls.length === 1)).toHaveLength(20_000);
    for (const { end } of calls) end();
    await Promise.all(results);
  });

  it('gives the place of a failed call to the next one', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1000, concurrency: 1, maxQueued: 10 });
    const failed = limiter.run(() => Promise.reject(new Error('no')), never);
    const next = limiter.run(() => Promise.resolve('next'), never);
    await expect(failed).rejects.toThrow('no');
    await expect(next).resolves.toBe('next');
  });

  it('refuses a call as PROVIDER_THROTTLED when its queue is full, without calling it', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1000, concurrency: 1, maxQueued: 1 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const waiting = limiter.run(() => Promise.resolve('waited'), never);
    const refused = heldCall();

    await expect(limiter.run(refused.work, never)).rejects.toMatchObject({
      code: 'PROVIDER_THROTTLED',
      retryable: true,
    });
    expect(refused.work).not.toHaveBeenCalled();

    first.end();
    await running;
    await expect(waiting).resolves.toBe('waited');
  });

  it('takes a waiting call out of the queue when its signal is aborted', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1000, concurrency: 1, maxQueued: 1 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const abort = new AbortController();
    const aborted = heldCall();
    const waiting = limiter.run(aborted.work, abort.signal);
    const reason = new Error('nobody waits');
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);

    const next = limiter.run(() => Promise.resolve('next'), never);
    first.end();
    await running;
    await expect(next).resolves.toBe('next');
    expect(aborted.work).not.toHaveBeenCalled();
  });

  it('does not call the work of a signal that is aborted already', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1, concurrency: 1, maxQueued: 1 });
    const reason = new Error('too late');
    const { work } = heldCall();
    await expect(limiter.run(work, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(work).not.toHaveBeenCalled();
  });

  it('leaves no timer behind when the last waiting call has gone', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1, concurrency: 5, maxQueued: 5 });
    await limiter.run(() => Promise.resolve(), never);
    const abort = new AbortController();
    const waiting = limiter.run(() => Promise.resolve(), abort.signal);
    expect(vi.getTimerCount()).toBe(1);
    abort.abort();
    await expect(waiting).rejects.toThrow();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('begins waiting calls to the millisecond in which the rate allows them, though none has ended', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 20, concurrency: 10, maxQueued: 10 });
    const startsAtMs: number[] = [];
    const from = performance.now();
    const held = heldCall();
    const all = Array.from({ length: 5 }, () =>
      limiter.run(() => {
        startsAtMs.push(performance.now() - from);
        return held.work();
      }, never),
    );
    await vi.advanceTimersByTimeAsync(1_000);
    // two at once, then 18 a second
    expect(startsAtMs).toEqual([0, 0, 56, 112, 167]);
    expect(vi.getTimerCount()).toBe(0);
    held.end();
    await Promise.all(all);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('waits without a timer where the end of a call is what it waits for', async () => {
    for (const limits of [
      { requestsPerSecond: 1_000, concurrency: 1, maxQueued: 9 },
      { requestsPerSecond: 1, concurrency: 5, maxQueued: 9 },
    ]) {
      const limiter = new CallLimiter(limits);
      const first = heldCall();
      const running = limiter.run(first.work, never);
      await vi.advanceTimersByTimeAsync(5_000);
      const next = limiter.run(() => Promise.resolve('next'), never);
      expect(vi.getTimerCount()).toBe(0);
      first.end();
      await running;
      await vi.advanceTimersByTimeAsync(1_001);
      expect(await next).toBe('next');
    }
  });

  it('goes on with the others, at their time, when one that waits leaves', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1, concurrency: 5, maxQueued: 9 });
    await limiter.run(() => Promise.resolve(), never);
    const leaving = new AbortController();
    const left = limiter.run(() => Promise.resolve(), leaving.signal, { tenant: 'a' });
    const staying = limiter.run(() => Promise.resolve('stays'), never, { tenant: 'a' });
    const other = limiter.run(() => Promise.resolve('other'), never, { tenant: 'b' });
    expect(limiter.waitingCount).toBe(3);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    expect([limiter.waitingCount, vi.getTimerCount()]).toEqual([2, 1]);
    await vi.advanceTimersByTimeAsync(4_100);
    expect(await Promise.all([staying, other])).toEqual(['stays', 'other']);
  });

  it('forgets a tenant whose only waiting call leaves', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 9 });
    const first = heldCall();
    const running = limiter.run(first.work, never);
    const leaving = new AbortController();
    const left = limiter.run(() => Promise.resolve(), leaving.signal, { tenant: 'a', lane: {} });
    const next = limiter.run(() => Promise.resolve('next'), never, { tenant: 'b' });
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    first.end();
    await running;
    expect(await next).toBe('next');
    expect(limiter.waitingCount).toBe(0);
  });

  it('waits anew after all that waited have left', async () => {
    const limiter = new CallLimiter({ requestsPerSecond: 1, concurrency: 5, maxQueued: 5 });
    await limiter.run(() => Promise.resolve(), never);
    const leaving = new AbortController();
    const left = limiter.run(() => Promise.resolve(), leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    const next = limiter.run(() => Promise.resolve('next'), never);
    await vi.advanceTimersByTimeAsync(2_001);
    expect(await next).toBe('next');
  });

  it('is left by no call that has begun, whatever becomes of its signal, and keeps none of them', async () => {
    const limiter = new CallLimiter({ concurrency: 1, maxQueued: 5 });
    const [first, second] = [heldCall(), heldCall()];
    const running = limiter.run(first.work, never);
    const caller = new AbortController();
    const begun = limiter.run(second.work, caller.signal);
    const waiting = limiter.run(() => Promise.resolve('waited'), never);
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    first.end();
    await running;
    await vi.advanceTimersByTimeAsync(0);
    expect(second.work).toHaveBeenCalledTimes(1);
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    caller.abort();
    expect(limiter.waitingCount).toBe(1);
    second.end();
    await begun;
    expect(await waiting).toBe('waited');
  });
});
