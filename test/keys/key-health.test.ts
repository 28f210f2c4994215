import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RecordsError, type SignerError } from '../../src/errors.ts';
import { createKeyHealthCheck } from '../../src/keys/key-health.ts';
import { type CallOptions, ProviderError } from '../../src/keys/provider.ts';

const unavailable = new ProviderError('PROVIDER_UNAVAILABLE', 'the slot is empty');
const unrecorded = new RecordsError('AUDIT_UNAVAILABLE', 'no room');

let nowMs: number;
let condition: { failure: SignerError | undefined; signedAtMs: number };
let health: Error | undefined;
let signing: Error | undefined;
let asked: string[];
let check: () => Promise<void>;

const checkHealth = (): Promise<void> => {
  asked.push('health');
  return health ? Promise.reject(health) : Promise.resolve();
};

/** As the gate does it. */
const prove = (): Promise<void> => {
  asked.push('signature');
  if (signing === unrecorded) return Promise.reject(signing);
  condition = signing
    ? { ...condition, failure: unavailable }
    : { failure: undefined, signedAtMs: nowMs };
  return signing ? Promise.reject(signing) : Promise.resolve();
};

/** Lets a question that nobody waits for come to its end. */
const settle = () => new Promise(setImmediate);

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});
beforeEach(() => {
  nowMs = 100_000;
  condition = { failure: undefined, signedAtMs: nowMs };
  health = undefined;
  signing = undefined;
  asked = [];
  check = createKeyHealthCheck({
    provider: { checkHealth },
    condition: {
      get failure() {
        return condition.failure;
      },
      get signedAtMs() {
        return condition.signedAtMs;
      },
    },
    prove,
    nowMs: () => nowMs,
  });
});

describe('the health of a key', () => {
  it('is asked of the device once in five seconds, and not proved while a signature is fresh', async () => {
    await Promise.all([check(), check(), check()]);
    nowMs += 4_999;
    await check();
    expect(asked).toEqual(['health']);
    nowMs += 1;
    await check();
    expect(asked).toEqual(['health', 'health']);
  });

  it('is bad as soon as a signature fails, whatever the device says', async () => {
    await check();
    condition.failure = unavailable;
    signing = unavailable;
    await expect(check()).rejects.toBe(unavailable);
    nowMs += 60_000;
    await expect(check()).rejects.toBe(unavailable);
  });

  it('is good as soon as a signature succeeds', async () => {
    condition.failure = unavailable;
    signing = unavailable;
    await expect(check()).rejects.toBe(unavailable);
    condition = { failure: undefined, signedAtMs: nowMs + 1 };
    await expect(check()).resolves.toBeUndefined();
  });

  it('is proved once a second while it is bad, so that it becomes good without a payment', async () => {
    condition.failure = unavailable;
    const answers = await Promise.allSettled([check(), check(), check()]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await settle();
    expect(asked).toEqual(['health', 'signature']);
    await expect(check()).resolves.toBeUndefined();

    condition.failure = unavailable;
    signing = unavailable;
    for (let second = 0; second < 3; second += 1) {
      nowMs += 1_000;
      await expect(check()).rejects.toBe(unavailable);
      await settle();
    }
    expect(asked.filter((what) => what === 'signature')).toHaveLength(4);
  });

  it('is proved once a minute where nothing is paid', async () => {
    nowMs += 59_999;
    await check();
    expect(asked).toEqual(['health']);
    nowMs += 5_000;
    await check();
    expect(asked).toEqual(['health', 'health', 'signature']);
  });

  it('turns bad where a key that nobody used does not sign', async () => {
    nowMs += 60_000;
    signing = unavailable;
    await expect(check()).rejects.toBe(unavailable);
  });

  it('is good where a key signs whose device calls itself ill', async () => {
    health = unavailable;
    await expect(check()).resolves.toBeUndefined();
    expect(asked).toEqual(['health', 'signature']);
  });

  it('is not blamed for a self-test that could not be recorded', async () => {
    nowMs += 60_000;
    signing = unrecorded;
    await expect(check()).resolves.toBeUndefined();
  });

  it('does without a device that can’t be asked', async () => {
    const options: CallOptions[] = [];
    const silent = createKeyHealthCheck({
      provider: {},
      condition: { failure: undefined, signedAtMs: -Infinity },
      prove: (call) => Promise.resolve(void options.push(call)),
    });
    await silent();
    expect(options).toHaveLength(1);
  });

  it('is proved where the device calls itself ill without a word', async () => {
    const wordless = createKeyHealthCheck({
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what a careless provider does
      provider: { checkHealth: () => Promise.reject(undefined) },
      condition,
      prove,
      nowMs: () => nowMs,
    });
    await wordless();
    expect(asked).toEqual(['signature']);
  });

  it('gives the device and the key two seconds each', async () => {
    const timeouts = vi.spyOn(AbortSignal, 'timeout');
    const signals: AbortSignal[] = [];
    const noting = ({ signal }: CallOptions) => Promise.resolve(void signals.push(signal));
    await createKeyHealthCheck({
      provider: { checkHealth: noting },
      condition: { failure: undefined, signedAtMs: -Infinity },
      prove: noting,
    })();
    expect(timeouts.mock.calls).toEqual([[2_000], [2_000]]);
    expect(signals).toEqual(timeouts.mock.results.map(({ value }) => value as unknown));
  });

  it('is asked again after five seconds by the time since start, unless told of another clock', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const ofProcess = createKeyHealthCheck({
      provider: { checkHealth },
      condition: { failure: undefined, signedAtMs: Infinity },
      prove,
    });
    await ofProcess();
    vi.advanceTimersByTime(4_999);
    await ofProcess();
    expect(asked).toEqual(['health']);
    vi.advanceTimersByTime(1);
    await ofProcess();
    expect(asked).toEqual(['health', 'health']);
  });

  it('is told by a signature since the question alone, not by one of the same moment', async () => {
    nowMs += 60_000;
    const failing = () => (asked.push('signature'), Promise.reject(unavailable));
    const asking = createKeyHealthCheck({
      provider: { checkHealth },
      condition,
      prove: failing,
      nowMs: () => nowMs,
    });
    await expect(asking()).rejects.toBe(unavailable);
    condition.signedAtMs = nowMs;
    await expect(asking()).rejects.toBe(unavailable);
    condition.signedAtMs = nowMs + 1;
    await expect(asking()).resolves.toBeUndefined();
  });

  it('leaves no failure unheard of that nobody waits for', async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', hear);
    condition.failure = unavailable;
    signing = unavailable;
    await expect(check()).rejects.toBe(unavailable);
    await settle();
    await settle();
    process.off('unhandledRejection', hear);
    expect(asked).toEqual(['health', 'signature']);
    expect(unheard).toEqual([]);
  });

  it('does not wait for a question that nobody answers while the key fails', async () => {
    condition.failure = unavailable;
    const stuck = createKeyHealthCheck({
      provider: { checkHealth: () => new Promise(() => undefined) },
      condition,
      prove,
      nowMs: () => nowMs,
    });
    await expect(stuck()).rejects.toBe(unavailable);
  });
});
