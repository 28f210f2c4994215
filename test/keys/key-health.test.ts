import { beforeEach, describe, expect, it } from 'vitest';
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
});
