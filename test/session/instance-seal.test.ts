import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { RecordsError, SignerError } from '../../src/errors.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { startInstanceSeal } from '../../src/session/instance-seal.ts';
import { type Instance, arbitrum, second, startInstance, startedAt } from './instances.ts';

const state = new TextEncoder().encode('{"StateID":"f1405ced","PMSessionID":"","SenderNonce":2}');
const hour = 3_600_000;
const ended = expect.objectContaining({
  name: 'ProviderError',
  code: 'STATE_DELEGATION_ENDED',
  retryable: true,
}) as Error;

describe('the delegation of an instance', () => {
  let instance: Instance;
  beforeEach(async () => {
    vi.useFakeTimers({ now: Number(startedAt / 1_000_000n) });
    instance = await startInstance({ now: () => BigInt(Date.now()) * 1_000_000n });
  });
  afterEach(() => {
    instance.seal.close();
    vi.useRealTimers();
  });

  const isSealing = () => instance.isSealed({ state, sig: instance.sign(state) });
  const unavailable = new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone');

  it('is signed once, for eight hours from now', () => {
    const [delegation] = instance.delegations;
    expect(instance.key.digests).toHaveLength(1);
    expect(delegation?.notBefore).toBe(startedAt / 1_000_000_000n);
    expect((delegation?.notAfter ?? 0n) - (delegation?.notBefore ?? 0n)).toBe(8n * 3600n);
    expect(delegation?.instanceKey).toHaveLength(32);
  });

  it('is renewed when half of it is over, for the same instance key, and not before', async () => {
    await vi.advanceTimersByTimeAsync(4 * hour - 1);
    expect(instance.delegations).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(instance.delegations).toHaveLength(2);
    const [first, next] = instance.delegations;
    expect(next?.instanceKey).toEqual(first?.instanceKey);
    expect(next?.notBefore).toBeGreaterThanOrEqual((first?.notBefore ?? 0n) + 4n * 3600n);
    expect(isSealing()).toBe(true);
  });

  it('is renewed for as long as the instance runs: two key calls in eight hours', async () => {
    for (let hours = 0; hours < 48; hours++) {
      await vi.advanceTimersByTimeAsync(hour);
      expect(isSealing()).toBe(true);
    }
    expect(instance.key.digests.length).toBeGreaterThanOrEqual(12);
    expect(instance.key.digests.length).toBeLessThanOrEqual(13);
  });

  it('still opens what was sealed under the one before', async () => {
    const sig = instance.sign(state);
    await vi.advanceTimersByTimeAsync(5 * hour);
    expect(instance.delegations).toHaveLength(2);
    expect(instance.sign(state)).not.toEqual(sig);
    expect(instance.isSealed({ state, sig })).toBe(true);
  });

  it('seals on while its renewal fails, which is tried again ever more slowly and logged', async () => {
    await vi.advanceTimersByTimeAsync(4 * hour - 60_000);
    instance.failure = unavailable;
    await vi.advanceTimersByTimeAsync(300_000);
    expect(isSealing()).toBe(true);
    const pauses = instance.logged.map(({ fields }) => fields['pauseMs']);
    expect(pauses.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((s) => s * 1000));
    expect(instance.logged[0]).toMatchObject({
      level: 'warn',
      fields: { code: 'PROVIDER_UNAVAILABLE', error: 'the device is gone' },
    });

    instance.failure = undefined;
    await vi.advanceTimersByTimeAsync(70_000);
    expect(instance.delegations).toHaveLength(2);
    expect(instance.logged.at(-1)).toMatchObject({ level: 'info' });
  });

  it('seals nothing once it has ended, and goes on when the key is back', async () => {
    instance.failure = unavailable;
    await vi.advanceTimersByTimeAsync(8 * hour - 60_000);
    expect(isSealing()).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(() => instance.seal.current()).toThrow(ended);
    await vi.advanceTimersByTimeAsync(hour);
    expect(() => instance.seal.current()).toThrow(ended);
    expect(instance.key.digests).toHaveLength(1);

    instance.failure = undefined;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(isSealing()).toBe(true);
    expect(instance.key.digests).toHaveLength(2);
  });

  it('is never waited for by sealing, however long the key takes', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    instance.heldUntil = promise;
    await vi.advanceTimersByTimeAsync(6 * hour);
    expect(instance.delegations).toHaveLength(1);
    expect(isSealing()).toBe(true);
    resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect(instance.delegations).toHaveLength(2);
    expect(isSealing()).toBe(true);
  });

  it('is renewed soon after the clock has leapt past its end, as when the machine slept', async () => {
    vi.setSystemTime(Date.now() + 20 * hour);
    expect(() => instance.seal.current()).toThrow(ended);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(isSealing()).toBe(true);
    expect(instance.delegations).toHaveLength(2);
  });

  it('is renewed when the clock is set back before its beginning', async () => {
    vi.setSystemTime(Date.now() - 29_000);
    expect(isSealing()).toBe(true);
    vi.setSystemTime(Date.now() - hour);
    expect(() => instance.seal.current()).toThrow(ended);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(isSealing()).toBe(true);
  });

  it('that a key fails to sign for another reason is logged as that', async () => {
    for (const failure of [new Error('out of order'), 'no error at all' as unknown as Error]) {
      instance.failure = failure;
      instance.logged.length = 0;
      await vi.advanceTimersByTimeAsync(5 * hour);
      expect(instance.logged.map(({ fields }) => fields)).toContainEqual(
        expect.objectContaining({
          code: 'INTERNAL',
          error: failure instanceof Error ? failure.message : failure,
        }),
      );
    }
  });

  it('seals from the skew of clocks before it begins until a minute before it ends, to the nanosecond', async () => {
    const early = await startInstance({ clockSkewMs: 30_000 });
    onTestFinished(() => early.seal.close());
    const sealsAt = (time: bigint): boolean => {
      early.now = time;
      try {
        return early.sign(state).length === 178;
      } catch {
        return false;
      }
    };
    const [begins, ends] = [startedAt - 30n * second, startedAt + (8n * 3600n - 60n) * second];
    expect([begins, begins - 1n, ends, ends + 1n].map(sealsAt)).toEqual([true, false, true, false]);
  });

  /** A seal that is asked for while the key does what `signing` tells; when the key was asked, and what was logged. */
  async function startWhile(signing: { failure: Error | undefined; held?: Promise<never> }) {
    const askedAtMs: number[] = [];
    const logged: unknown[] = [];
    const signals: AbortSignal[] = [];
    const begunMs = Date.now();
    const seal = await startInstanceSeal({
      domain: arbitrum,
      clockSkewMs: 0,
      now: () => BigInt(Date.now()) * 1_000_000n,
      signDelegation: (_, signal) => {
        askedAtMs.push(Date.now() - begunMs);
        signals.push(signal);
        if (signing.held) return signing.held;
        return signing.failure
          ? Promise.reject(signing.failure)
          : Promise.resolve(new Uint8Array(65));
      },
      log: (...line) => logged.push(line),
    });
    onTestFinished(() => seal.close());
    return { seal, askedAtMs, logged, signals };
  }
  const heldFrom = (ms: number) => {
    const notBefore = BigInt(Math.floor(ms / 1000));
    return {
      instanceKey: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      notBefore,
      notAfter: notBefore + 28_800n,
    };
  };

  it('is asked for each second while signing is stopped, without a word', async () => {
    const signing: { failure: Error | undefined } = {
      failure: new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing'),
    };
    const { seal, askedAtMs, logged } = await startWhile(signing);
    expect(seal.delegation()).toBeUndefined();
    expect(() => seal.current()).toThrow(ended);
    await vi.advanceTimersByTimeAsync(2_000);
    signing.failure = new RecordsError('SIGNING_SWITCH_UNAVAILABLE', 'nobody knows');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(askedAtMs).toEqual([0, 1_000, 2_000, 3_000]);
    expect(logged).toEqual([]);
    signing.failure = undefined;
    await vi.advanceTimersByTimeAsync(1_000);
    const renewedMs = Date.now();
    expect(seal.delegation()).toEqual(heldFrom(renewedMs));
    expect(logged).toEqual([
      [
        'info',
        'delegation for sealing session states renewed',
        { endsAt: new Date(Math.floor(renewedMs / 1000) * 1000 + 28_800_000).toISOString() },
      ],
    ]);
    // from here on the clock is looked at as ever
    expect(vi.getTimerCount()).toBe(2);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(askedAtMs).toHaveLength(5);
  });

  it('is renewed as soon as signing goes on, where it was stopped at that time', async () => {
    const signing: { failure: Error | undefined } = { failure: undefined };
    const { seal, askedAtMs, logged } = await startWhile(signing);
    const first = seal.delegation();
    expect(first).toEqual(heldFrom(Date.now()));
    signing.failure = new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing');
    await vi.advanceTimersByTimeAsync(4 * hour + 3_000);
    expect(askedAtMs.slice(1)).toEqual([0, 1, 2, 3].map((s) => 4 * hour + s * 1_000));
    expect(seal.delegation()).toEqual(first);
    expect(logged).toEqual([]);
    signing.failure = unavailable;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(logged).toEqual([
      [
        'warn',
        'delegation for sealing session states not renewed; it will be tried again',
        {
          endsAt: new Date(Number(first?.notAfter) * 1000).toISOString(),
          code: 'PROVIDER_UNAVAILABLE',
          error: 'the device is gone',
          pauseMs: 1_000,
        },
      ],
    ]);
  });

  it('must be signed within 30 seconds, at the start and later', async () => {
    const timeouts = vi.spyOn(AbortSignal, 'timeout');
    onTestFinished(() => timeouts.mockRestore());
    const { askedAtMs } = await startWhile({ failure: undefined });
    await vi.advanceTimersByTimeAsync(4 * hour);
    // the other instance's renewal among them
    expect(askedAtMs).toHaveLength(2);
    expect(timeouts.mock.calls).toEqual([[30_000], [30_000], [30_000]]);
  });

  it('that can’t be signed at the start ends the start', async () => {
    await expect(startWhile({ failure: unavailable })).rejects.toBe(unavailable);
  });

  it('that is asked for while the instance closes is given up, without a word', async () => {
    const signing: { failure: undefined; held?: Promise<never> } = { failure: undefined };
    const { seal, askedAtMs, logged, signals } = await startWhile(signing);
    const held = Promise.withResolvers<never>();
    signing.held = held.promise;
    await vi.advanceTimersByTimeAsync(4 * hour);
    expect(askedAtMs).toHaveLength(2);
    expect(signals[1]?.aborted).toBe(false);
    seal.close();
    expect(signals[1]?.aborted).toBe(true);
    held.reject(unavailable);
    await vi.advanceTimersByTimeAsync(0);
    expect(logged).toEqual([]);
    // the other instance's
    expect(vi.getTimerCount()).toBe(1);
  });

  it('seals without anybody who remembers seals', async () => {
    const forgetful = await startInstance({ recentSeals: undefined });
    const sig = forgetful.sign(state);
    expect(sig).toHaveLength(178);
    expect(forgetful.isSealed({ state, sig })).toBe(true);
    forgetful.seal.close();
  });

  it('is not renewed any more once the instance is closed', async () => {
    expect(vi.getTimerCount()).toBe(1);
    instance.seal.close();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10 * hour);
    expect(instance.delegations).toHaveLength(1);
    expect(instance.logged).toEqual([]);
  });
});
