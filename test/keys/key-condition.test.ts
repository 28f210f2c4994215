import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ErrorCode } from '../../src/errors.ts';
import { KeyCondition } from '../../src/keys/key-condition.ts';
import { ProviderError } from '../../src/keys/provider.ts';

const unavailable = new ProviderError('PROVIDER_UNAVAILABLE', 'gone');

let nowMs: number;
let condition: KeyCondition;
let stopped: AbortController;

const fail = (error: Error) =>
  expect(condition.watch(() => Promise.reject(error), stopped.signal)).rejects.toBe(error);

/** A call that ends when `pass` tells its deadline to, `ms` after it began. */
function call() {
  const { promise, reject } = Promise.withResolvers<never>();
  const ended = condition.watch(() => promise, stopped.signal).catch(() => undefined);
  const pass = async (ms: number, reason: unknown, isAnswered: boolean): Promise<void> => {
    nowMs += ms;
    stopped.abort(reason);
    if (!isAnswered) return;
    reject(new ProviderError('PROVIDER_TIMEOUT', 'late'));
    await ended;
  };
  return pass;
}

const deadline = new DOMException('too late', 'TimeoutError');

afterEach(() => {
  vi.useRealTimers();
});
beforeEach(() => {
  nowMs = 5_000;
  condition = new KeyCondition(() => nowMs);
  stopped = new AbortController();
});

describe('the condition of a key', () => {
  it('is that of its last signature', async () => {
    expect(condition.signedAtMs).toBe(-Infinity);
    await fail(unavailable);
    expect(condition.failure).toBe(unavailable);
    await condition.watch(() => Promise.resolve(), stopped.signal);
    expect(condition.failure).toBeUndefined();
    expect(condition.signedAtMs).toBe(5_000);
  });

  it('is not told by a deadline that passes after the call has ended, however that was', async () => {
    await condition.watch(() => Promise.resolve(), stopped.signal);
    await fail(new ProviderError('PROVIDER_CLOSED', 'not the key’s fault'));
    nowMs += 60_000;
    stopped.abort(deadline);
    expect(condition.failure).toBeUndefined();
  });

  it.each<ErrorCode>(['PROVIDER_THROTTLED', 'REQUEST_ABORTED', 'PROVIDER_CLOSED'])(
    'is not told by %s',
    async (code) => {
      await fail(new ProviderError(code as 'PROVIDER_CLOSED', 'not the key’s fault'));
      expect(condition.failure).toBeUndefined();
    },
  );

  it('is bad after an error that the provider does not explain, whose words are not kept', async () => {
    await fail(new Error('PIN 1234 refused'));
    expect(condition.failure?.code).toBe('INTERNAL');
    expect(String(condition.failure)).not.toContain('1234');
  });

  it.each([
    { what: 'a second', ms: 1_000, reason: deadline, code: 'PROVIDER_TIMEOUT' },
    { what: 'less than a second', ms: 999, reason: deadline, code: undefined },
    {
      what: 'a second, but its caller left',
      ms: 1_000,
      reason: new Error('left'),
      code: undefined,
    },
  ])('after a call that was given $what: $code', async ({ ms, reason, code }) => {
    for (const isAnswered of [true, false]) {
      condition = new KeyCondition(() => nowMs);
      stopped = new AbortController();
      await call()(ms, reason, isAnswered);
      expect(condition.failure?.code).toBe(code);
    }
  });

  it('is, after a call that hung, a failure that may pass', async () => {
    await call()(1_000, deadline, false);
    expect(condition.failure).toMatchObject({
      name: 'ProviderError',
      code: 'PROVIDER_TIMEOUT',
      retryable: true,
      message: 'the key provider did not answer before the deadline',
    });
  });

  it('goes by the time since start unless told of another clock', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.advanceTimersByTime(7_000);
    condition = new KeyCondition();
    await condition.watch(() => Promise.resolve(), stopped.signal);
    expect(condition.signedAtMs).toBe(7_000);
  });

  it('leaves nobody waiting for a signal that outlives the call', async () => {
    await condition.watch(() => Promise.resolve(), stopped.signal);
    await fail(unavailable);
    expect(getEventListeners(stopped.signal, 'abort')).toEqual([]);
  });
});
