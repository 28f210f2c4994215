import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mayPass, PinnedKey } from '../../src/keys/failover-member.ts';
import { type FailoverProvider, openFailoverProvider } from '../../src/keys/failover.ts';
import {
  type CallOptions,
  type KeyProvider,
  type ProviderContext,
  ProviderError,
  type ProviderSignature,
} from '../../src/keys/provider.ts';
import { toEthereumSignature } from '../../src/keys/signature.ts';
import { createTestKey } from '../support/test-key.ts';
import { vectors } from '../vectors/vectors.ts';
import { never, openTestGate } from './open-test-gate.ts';
import { soon } from '../support/soon.ts';

const digest = new Uint8Array(32).fill(7);
const otherPrivateKey = '11'.repeat(32);
const probeIntervalMs = 1000;
const context = { resolvePath: String, log: () => undefined } as unknown as ProviderContext;

const retryable = { retryable: true };
const unavailable = new ProviderError('PROVIDER_UNAVAILABLE', 'the region is down', retryable);
const throttled = new ProviderError('PROVIDER_THROTTLED', 'too many calls', retryable);
const denied = new ProviderError('KEY_ACCESS_DENIED', 'the key is disabled');

type Behaviour =
  | { readonly kind: 'sign' }
  | { readonly kind: 'sign-after'; readonly ms: number }
  | { readonly kind: 'sign-with-another-key' }
  | { readonly kind: 'answer'; readonly reply: ProviderSignature }
  | { readonly kind: 'fail'; readonly error: Error }
  /** never answers, not even when its signal is aborted */
  | { readonly kind: 'hang' };

/** A device with the vectors' key, whose faults are switched while it runs. */
class TestDevice {
  signing: Behaviour = { kind: 'sign' };
  opening: Error | Promise<unknown> | undefined;
  health: Error | Promise<never> | undefined;
  description: Error | undefined;
  privateKey: string = vectors.key.privateKey;
  concurrency = 8;
  /** whether it has `checkHealth` */
  tellsHealth = true;
  readonly signals: AbortSignal[] = [];
  /** what came along with each question and call, by name */
  readonly asked: (readonly [string, CallOptions])[] = [];
  opened = 0;
  closed = 0;
  checks = 0;
  keyReads = 0;
  mostAtOnce = 0;
  #underWay = 0;

  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }

  readonly open = async (): Promise<KeyProvider> => {
    this.opened += 1;
    if (this.opening instanceof Error) throw this.opening;
    await this.opening;
    return {
      keyRef: `test:${this.name}`,
      concurrency: this.concurrency,
      getPublicKey: async (options) => {
        this.asked.push(['getPublicKey', options]);
        this.keyReads += 1;
        return (await this.#key()).getPublicKey({ signal: never });
      },
      signDigest: async (asked, options) => {
        this.asked.push(['signDigest', options]);
        this.signals.push(options.signal);
        this.#underWay += 1;
        this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay);
        try {
          return await this.#sign(asked);
        } finally {
          this.#underWay -= 1;
        }
      },
      close: () => {
        this.closed += 1;
        return Promise.resolve();
      },
      describeKey: (options) => {
        this.asked.push(['describeKey', options]);
        return this.description instanceof Error
          ? Promise.reject(this.description)
          : Promise.resolve({ curve: 'secp256k1' });
      },
      ...(this.tellsHealth && {
        checkHealth: async (options: CallOptions) => {
          this.asked.push(['checkHealth', options]);
          this.checks += 1;
          if (this.health instanceof Error) throw this.health;
          await this.health;
        },
      }),
    };
  };

  async #sign(asked: Uint8Array): Promise<ProviderSignature> {
    const { signing } = this;
    switch (signing.kind) {
      case 'sign':
        break;
      case 'sign-after':
        await new Promise((resolve) => setTimeout(resolve, signing.ms));
        break;
      case 'sign-with-another-key':
        return (await this.#key(otherPrivateKey)).signDigest(asked, { signal: never });
      case 'answer':
        return signing.reply;
      case 'fail':
        throw signing.error;
      case 'hang':
        return new Promise<never>(() => undefined);
    }
    return (await this.#key()).signDigest(asked, { signal: never });
  }

  #key(privateKey = this.privateKey): Promise<KeyProvider> {
    return createTestKey(privateKey).plugin.open({}, context);
  }
}

/** A self-test through a gate over the member alone, as the program makes it. */
async function prove(provider: KeyProvider, { signal }: CallOptions): Promise<void> {
  const { gate, issue } = await openTestGate(provider);
  await gate.sign(issue({ kind: 'self-test', sender: gate.address }), { signal });
}

const open: FailoverProvider[] = [];
const log = vi.fn<ProviderContext['log']>();

async function openGroup(
  devices: readonly TestDevice[],
  { hedge = false, signal = never } = {},
): Promise<FailoverProvider> {
  const group = await openFailoverProvider({
    members: devices,
    hedge,
    probeIntervalMs,
    prove,
    log,
    signal,
  });
  open.push(group);
  return group;
}

/** Signs, and proves the signature against the vectors' key. */
async function sign(group: FailoverProvider, signal = never): Promise<void> {
  const publicKey = await (
    await createTestKey(vectors.key.privateKey).plugin.open({}, context)
  ).getPublicKey({ signal });
  toEthereumSignature(await group.signDigest(digest, { signal }), digest, publicKey);
}

const countsOf = (group: FailoverProvider) =>
  Object.fromEntries(
    group
      .statistics()
      .map(({ name, calls, failures, hedges, discarded }) => [
        name,
        { calls, failures, hedges, discarded },
      ]),
  );
const healthOf = (group: FailoverProvider) => group.statistics().map(({ healthy }) => healthy);
const callsOf = (group: FailoverProvider) => group.statistics().map(({ calls }) => calls);

let first: TestDevice;
let second: TestDevice;

beforeEach(() => {
  vi.useFakeTimers();
  // a time since start that no pause or latency of a test is as long as
  vi.advanceTimersByTime(1_000_000);
  log.mockClear();
  first = new TestDevice('first');
  second = new TestDevice('second');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((group) => group.close()));
  vi.useRealTimers();
});

describe('the start', () => {
  it('gives the common public key, and the smallest concurrency', async () => {
    first.concurrency = 16;
    second.concurrency = 4;
    const group = await openGroup([first, second]);
    const key = await createTestKey(vectors.key.privateKey).plugin.open({}, context);
    expect(await group.getPublicKey({ signal: never })).toEqual(
      await key.getPublicKey({ signal: never }),
    );
    expect(group.concurrency).toBe(4);
    expect(healthOf(group)).toEqual([true, true]);
  });

  it('refuses members with different keys, names both with their addresses and closes both', async () => {
    second.privateKey = otherPrivateKey;
    const refused = openGroup([first, second]);
    await expect(refused).rejects.toMatchObject({
      code: 'KEY_UNSUITABLE',
      message: expect.stringMatching(
        new RegExp(
          `second has the key of 0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a, but first that of ${vectors.key.address}`,
          'i',
        ),
      ) as unknown,
    });
    expect([first.closed, second.closed]).toEqual([1, 1]);
  });

  it.each([
    'KEY_NOT_FOUND',
    'KEY_UNSUITABLE',
    'KEY_ACCESS_DENIED',
    'KEY_AMBIGUOUS',
    'PROVIDER_MISSING',
  ] as const)('fails with %s of any member and closes the others', async (code) => {
    second.opening = new ProviderError(code, 'wrong setting');
    await expect(openGroup([first, second])).rejects.toBe(second.opening);
    expect(first.closed).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fails with the first error when no member opens', async () => {
    first.opening = unavailable;
    second.opening = throttled;
    await expect(openGroup([first, second])).rejects.toBe(unavailable);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('goes on without a member that is down, warns, and takes it in when it opens', async () => {
    first.opening = unavailable;
    const group = await openGroup([first, second]);
    expect(healthOf(group)).toEqual([false, true]);
    expect(log).toHaveBeenCalledWith('warn', expect.any(String), {
      member: 'first',
      code: 'PROVIDER_UNAVAILABLE',
      error: 'the region is down',
      pauseMs: probeIntervalMs,
    });
    await sign(group);
    expect(callsOf(group)).toEqual([0, 1]);

    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    expect([first.opened, ...healthOf(group)]).toEqual([2, false, true]);
    first.opening = undefined;
    await vi.advanceTimersByTimeAsync(2 * probeIntervalMs);
    expect(healthOf(group)).toEqual([true, true]);
    await sign(group);
    expect(callsOf(group)).toEqual([1, 1]);
  });

  it('never takes in a member that opens later with another key, and stops trying', async () => {
    first.opening = unavailable;
    const group = await openGroup([first, second]);
    first.opening = undefined;
    first.privateKey = otherPrivateKey;
    await vi.advanceTimersByTimeAsync(100 * probeIntervalMs);
    expect(first.opened).toBe(2);
    expect(healthOf(group)).toEqual([false, true]);
    second.signing = { kind: 'fail', error: unavailable };
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(callsOf(group)).toEqual([0, 1]);
  });

  it('stops opening a member that is refused later, so that a wrong PIN does not lock a token', async () => {
    first.opening = unavailable;
    const group = await openGroup([first, second]);
    first.opening = denied;
    await vi.advanceTimersByTimeAsync(100 * probeIntervalMs);
    expect(first.opened).toBe(2);
    expect(healthOf(group)).toEqual([false, true]);
  });

  it('does not wait long for a member that hangs while another can serve, and takes it in later', async () => {
    const opening = Promise.withResolvers<undefined>();
    first.opening = opening.promise;
    const opened = openGroup([first, second]);
    await vi.advanceTimersByTimeAsync(5000);
    const group = await opened;
    expect(healthOf(group)).toEqual([false, true]);

    opening.resolve(undefined);
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    expect(healthOf(group)).toEqual([true, true]);
    expect(first.opened).toBe(1);
  });

  it('ends with its signal when every member hangs, and closes what opens afterwards', async () => {
    const opening = Promise.withResolvers<undefined>();
    first.opening = opening.promise;
    const start = new AbortController();
    const opened = openGroup([first], { signal: start.signal });
    start.abort(new DOMException('late', 'TimeoutError'));
    await expect(opened).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
    opening.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect(first.closed).toBe(1);
  });

  it('keeps a member that joins later within its own concurrency', async () => {
    first.opening = unavailable;
    first.concurrency = 2;
    const group = await openGroup([first, second]);
    expect(group.concurrency).toBe(8);
    first.opening = undefined;
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    first.signing = { kind: 'sign-after', ms: 10 };
    const signed = Promise.all(Array.from({ length: 8 }, () => sign(group)));
    await vi.advanceTimersByTimeAsync(100);
    await signed;
    expect([first.mostAtOnce, ...callsOf(group)]).toEqual([2, 8, 0]);
  });
});

describe('a member', () => {
  it('is asked with the signal of who asks, and told whose turn it is', async () => {
    const group = await openGroup([first, second]);
    // nothing is signed to find out whether it may be used
    expect(first.signals).toEqual([]);
    const { signal } = new AbortController();
    const turn = { tenant: 'acme', lane: {} };
    first.asked.length = 0;
    await group.checkHealth?.({ signal });
    await group.describeKey?.({ signal });
    expect(first.asked).toEqual([
      ['checkHealth', { signal }],
      ['getPublicKey', { signal }],
      ['describeKey', { signal }],
    ]);
    expect(first.asked.map(([, options]) => options.signal)).toEqual([signal, signal, signal]);
    first.signing = { kind: 'fail', error: throttled };
    await group.signDigest(digest, { signal, turn });
    for (const device of [first, second]) {
      const [name, options] = device.asked.at(-1) ?? [];
      expect([name, options?.turn]).toEqual(['signDigest', turn]);
      expect(options?.signal).toBeInstanceOf(AbortSignal);
    }
  });

  it('that is probed has an interval’s time for each answer, and for its self-test', async () => {
    const timeouts = vi.spyOn(AbortSignal, 'timeout');
    const group = await openGroup([first, second]);
    first.signing = { kind: 'fail', error: unavailable };
    await sign(group);
    first.signing = { kind: 'sign' };
    first.asked.length = 0;
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    const mock = timeouts.mock;
    expect(mock.calls).toEqual([[probeIntervalMs]]);
    const [signal] = mock.results.map(({ value }) => value as unknown);
    expect(first.asked.slice(0, 2)).toEqual([
      ['checkHealth', { signal }],
      ['getPublicKey', { signal }],
    ]);
    expect(healthOf(group)).toEqual([true, true]);
    timeouts.mockRestore();
  });

  it('that is not taken in is not asked for its health, nor opened for it', async () => {
    first.opening = unavailable;
    const group = await openGroup([first, second]);
    await group.checkHealth?.({ signal: never });
    expect([first.opened, second.checks]).toEqual([1, 2]);
  });

  it('that opens once the group is closed is asked nothing', async () => {
    const opening = Promise.withResolvers<undefined>();
    first.opening = opening.promise;
    const opened = openGroup([first, second]);
    await vi.advanceTimersByTimeAsync(5_000);
    const group = await opened;
    await group.close();
    log.mockClear();
    opening.resolve(undefined);
    await vi.advanceTimersByTimeAsync(10 * probeIntervalMs);
    expect([first.opened, first.closed, first.checks, first.keyReads]).toEqual([1, 1, 0, 0]);
    expect(log).not.toHaveBeenCalled();
  });

  it.each([undefined, unavailable])(
    'that signs while its probe hangs is in use from then on, whatever the probe says: %s',
    async (says) => {
      const group = await openGroup([first, second]);
      first.signing = second.signing = { kind: 'fail', error: unavailable };
      await expect(sign(group)).rejects.toBe(unavailable);
      const checking = Promise.withResolvers<never>();
      first.health = checking.promise;
      second.health = denied;
      await vi.advanceTimersByTimeAsync(probeIntervalMs);
      first.signing = { kind: 'sign' };
      await sign(group);
      log.mockClear();
      first.health = undefined;
      const [timers, signed] = [vi.getTimerCount(), first.signals.length];
      if (says) checking.reject(says);
      else checking.resolve(undefined as never);
      await vi.advanceTimersByTimeAsync(0);
      expect(healthOf(group)).toEqual([true, false]);
      expect(log).not.toHaveBeenCalled();
      expect(vi.getTimerCount()).toBe(timers);
      // it has proved itself, and need not sign a self-test
      expect(first.signals).toHaveLength(signed);
    },
  );

  it('that signs again is not probed any more', async () => {
    const group = await openGroup([first, second]);
    first.signing = second.signing = { kind: 'fail', error: unavailable };
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(vi.getTimerCount()).toBe(2);
    first.signing = second.signing = { kind: 'sign' };
    await sign(group);
    expect(vi.getTimerCount()).toBe(1);
    const { checks } = first;
    await vi.advanceTimersByTimeAsync(4 * probeIntervalMs);
    expect(first.checks).toBe(checks);
  });

  it('that stays out of use is named in the log, with the reason', async () => {
    first.opening = unavailable;
    await openGroup([first, second]);
    first.opening = denied;
    log.mockClear();
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    expect(log.mock.calls).toEqual([
      [
        'warn',
        'key provider stays out of use',
        { member: 'first', code: 'KEY_ACCESS_DENIED', error: 'the key is disabled' },
      ],
    ]);
  });
});

describe('a start that nobody waits for', () => {
  it('ends at once where a member hangs, and makes no group', async () => {
    first.opening = new Promise<never>(() => undefined);
    const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
    await expect(openGroup([first], { signal: late })).rejects.toMatchObject({
      code: 'PROVIDER_TIMEOUT',
      retryable: true,
      message: 'first did not answer before the deadline',
    });
  });

  it('is none where the signal is aborted once all are open', async () => {
    const start = new AbortController();
    const group = await openGroup([first, second], { signal: start.signal });
    expect(vi.getTimerCount()).toBe(0);
    start.abort();
    await sign(group);
    expect(callsOf(group)).toEqual([1, 0]);
  });
});

describe('the public key that all members must have', () => {
  const key = new Uint8Array(65).fill(4);

  it('is none before one of them has shown it', () => {
    expect(() => new PinnedKey().publicKey).toThrow(
      expect.objectContaining({
        code: 'INTERNAL',
        message: 'no key provider has shown its public key yet',
      }) as Error,
    );
  });

  it('is the first that was shown, whatever becomes of the bytes', async () => {
    const pinned = new PinnedKey();
    const shown = key.slice();
    pinned.assertSame('first', shown);
    shown.fill(0);
    expect(pinned.publicKey).toEqual(key);
    expect(() => pinned.assertSame('second', shown)).toThrow(
      expect.objectContaining({ code: 'KEY_UNSUITABLE', retryable: false }) as Error,
    );
    expect(() => pinned.assertSame('first', key.slice())).not.toThrow();
    const group = await openGroup([first]);
    const given = await group.getPublicKey({ signal: never });
    given.fill(0);
    await sign(group);
    expect((await group.getPublicKey({ signal: never }))[0]).toBe(4);
  });
});

describe('fail-over', () => {
  it('leaves nobody waiting for a signal that outlives the call', async () => {
    const { signal } = new AbortController();
    const group = await openGroup([first, second]);
    first.signing = { kind: 'fail', error: unavailable };
    await sign(group, signal);
    await group.checkHealth?.({ signal });
    await group.describeKey?.({ signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('tells the log what is out of use, since when it is in use again, and nothing else', async () => {
    const group = await openGroup([first, second]);
    expect(log.mock.calls).toEqual([
      ['info', 'key provider is in use', { member: 'first' }],
      ['info', 'key provider is in use', { member: 'second' }],
    ]);
    log.mockClear();
    first.signing = { kind: 'fail', error: new TypeError('a defect, PIN 1234') };
    await sign(group);
    first.signing = { kind: 'sign' };
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    expect(log.mock.calls).toEqual([
      [
        'warn',
        'key provider is out of use; it will be probed',
        {
          member: 'first',
          code: 'INTERNAL',
          error: 'first failed in a way it does not explain',
          pauseMs: probeIntervalMs,
        },
      ],
      ['info', 'key provider is in use', { member: 'first' }],
    ]);
  });

  it('keeps what a provider does not explain as the cause of its error', async () => {
    const defect = new TypeError('a defect');
    first.signing = { kind: 'fail', error: defect };
    const group = await openGroup([first]);
    await expect(group.signDigest(digest, { signal: never })).rejects.toMatchObject({
      code: 'INTERNAL',
      retryable: false,
      cause: defect,
    });
  });

  it('gives the gate what it takes for the pinned address’s signature, from whichever member', async () => {
    const group = await openGroup([first, second]);
    const { gate, issue } = await openTestGate(group);
    expect(gate.address).toBe(vectors.key.address.toLowerCase());
    const selfTest = { kind: 'self-test', sender: gate.address } as const;
    const [byFirst] = await gate.sign(issue(selfTest), { signal: never });
    first.signing = { kind: 'fail', error: unavailable };
    const [bySecond] = await gate.sign(issue(selfTest), { signal: never });
    expect(bySecond).toEqual(byFirst);
    expect(callsOf(group)).toEqual([2, 1]);
  });

  it('gives all calls to the first member while that is healthy', async () => {
    const group = await openGroup([first, second]);
    for (let call = 0; call < 5; call += 1) await sign(group);
    expect(callsOf(group)).toEqual([5, 0]);
  });

  const invalidReply: ProviderSignature = { encoding: 'der', bytes: new Uint8Array(70) };
  it.each<[string, Behaviour]>([
    ['is unavailable', { kind: 'fail', error: unavailable }],
    [
      'times out by itself',
      { kind: 'fail', error: new ProviderError('PROVIDER_TIMEOUT', 'no answer', retryable) },
    ],
    ['answers with garbage', { kind: 'answer', reply: invalidReply }],
    ['signs with another key', { kind: 'sign-with-another-key' }],
    ['refuses the key', { kind: 'fail', error: denied }],
    ['was closed', { kind: 'fail', error: new ProviderError('PROVIDER_CLOSED', 'closed') }],
    ['throws what is no error of ours', { kind: 'fail', error: new TypeError('a defect') }],
  ])('goes to the next member when one %s, and skips that one then', async (_, signing) => {
    first.signing = signing;
    const group = await openGroup([first, second]);
    await sign(group);
    await sign(group);
    expect(countsOf(group)).toEqual({
      first: { calls: 1, failures: 1, hedges: 0, discarded: 0 },
      second: { calls: 2, failures: 0, hedges: 0, discarded: 0 },
    });
    expect(healthOf(group)).toEqual([false, true]);
  });

  it('goes on with just the one call when a member throttles it', async () => {
    first.signing = { kind: 'fail', error: throttled };
    const group = await openGroup([first, second]);
    await sign(group);
    await sign(group);
    expect(healthOf(group)).toEqual([true, true]);
    expect(callsOf(group)).toEqual([2, 2]);
  });

  it.each([
    ['the retryable error', denied, unavailable, unavailable],
    ['the retryable error', unavailable, denied, unavailable],
    [
      'the first error where none is retryable',
      denied,
      new ProviderError('KEY_NOT_FOUND', 'gone'),
      denied,
    ],
  ])('fails with %s when all members fail', async (_, firstError, secondError, expected) => {
    first.signing = { kind: 'fail', error: firstError };
    second.signing = { kind: 'fail', error: secondError };
    const group = await openGroup([first, second]);
    await expect(sign(group)).rejects.toBe(expected);
    expect(callsOf(group)).toEqual([1, 1]);
  });

  it('still tries all members in order when none is healthy, and takes back the one that signs', async () => {
    first.signing = second.signing = { kind: 'fail', error: unavailable };
    const group = await openGroup([first, second]);
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(healthOf(group)).toEqual([false, false]);
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(callsOf(group)).toEqual([2, 2]);

    second.signing = { kind: 'sign' };
    await sign(group);
    expect(callsOf(group)).toEqual([3, 3]);
    expect(healthOf(group)).toEqual([false, true]);
  });

  it('never gives out the signature of a member with the wrong key', async () => {
    first.signing = second.signing = { kind: 'sign-with-another-key' };
    const group = await openGroup([first, second]);
    await expect(group.signDigest(digest, { signal: never })).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
      retryable: true,
    });
  });

  it('ends with the caller’s deadline when a member hangs, and takes that member for hung', async () => {
    first.signing = { kind: 'hang' };
    const group = await openGroup([first, second]);
    const deadline = new AbortController();
    const signed = group.signDigest(digest, { signal: deadline.signal });
    await vi.advanceTimersByTimeAsync(4500);
    deadline.abort(new DOMException('late', 'TimeoutError'));
    await expect(signed).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT', retryable: true });
    expect(healthOf(group)).toEqual([false, true]);
    await sign(group);
    expect(callsOf(group)).toEqual([1, 1]);
  });

  it.each([
    [
      'its deadline comes soon after the call',
      new DOMException('late', 'TimeoutError'),
      'PROVIDER_TIMEOUT',
    ],
    ['its caller goes away', new Error('gone'), 'REQUEST_ABORTED'],
  ])('does not blame a member when %s', async (_, reason, code) => {
    first.signing = { kind: 'hang' };
    const group = await openGroup([first, second]);
    const caller = new AbortController();
    const signed = group.signDigest(digest, { signal: caller.signal });
    await vi.advanceTimersByTimeAsync(100);
    caller.abort(reason);
    await expect(signed).rejects.toMatchObject({ code });
    expect(countsOf(group)).toEqual({
      first: { calls: 1, failures: 0, hedges: 0, discarded: 0 },
      second: { calls: 0, failures: 0, hedges: 0, discarded: 0 },
    });
    expect(healthOf(group)).toEqual([true, true]);
  });

  it('calls no member for a caller that is gone already', async () => {
    const group = await openGroup([first, second]);
    const signed = group.signDigest(digest, { signal: AbortSignal.abort() });
    await expect(signed).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    expect(callsOf(group)).toEqual([0, 0]);
  });
});

describe('probes', () => {
  it.each([true, false])(
    'take a member back when it serves again with the same key (checkHealth: %s)',
    async (tellsHealth) => {
      first.tellsHealth = tellsHealth;
      first.signing = { kind: 'fail', error: unavailable };
      const group = await openGroup([first, second]);
      await sign(group);
      const [checks, keyReads] = [first.checks, first.keyReads];
      first.signing = { kind: 'sign' };

      await vi.advanceTimersByTimeAsync(probeIntervalMs - 1);
      expect(healthOf(group)).toEqual([false, true]);
      await vi.advanceTimersByTimeAsync(1);
      expect(healthOf(group)).toEqual([true, true]);
      // once to compare it, once for the gate of the self-test
      expect([first.checks, first.keyReads]).toEqual([
        checks + (tellsHealth ? 1 : 0),
        keyReads + 2,
      ]);
      expect(vi.getTimerCount()).toBe(0);
      await sign(group);
      expect(callsOf(group)).toEqual([2, 1]);
    },
  );

  it('come at growing intervals while they fail, 16 intervals apart at most', async () => {
    const group = await openGroup([first, second]);
    first.signing = { kind: 'fail', error: unavailable };
    first.health = unavailable;
    await sign(group);
    const atIntervals: number[] = [];
    const before = first.checks;
    for (let interval = 1; interval <= 64; interval += 1) {
      const soFar = first.checks;
      await vi.advanceTimersByTimeAsync(probeIntervalMs);
      if (first.checks > soFar) atIntervals.push(interval);
    }
    expect(atIntervals).toEqual([1, 3, 7, 15, 31, 47, 63]);
    expect(first.checks - before).toBe(7);
    expect(healthOf(group)).toEqual([false, true]);
  });

  it.each([true, false])(
    'do not take back a member that does not sign, whatever its device says (checkHealth: %s)',
    async (tellsHealth) => {
      first.tellsHealth = tellsHealth;
      const group = await openGroup([first, second]);
      first.signing = { kind: 'fail', error: denied };
      await sign(group);
      for (let interval = 1; interval <= 40; interval += 1) {
        await vi.advanceTimersByTimeAsync(probeIntervalMs);
        await sign(group);
      }
      expect(healthOf(group)).toEqual([false, true]);
      expect(callsOf(group)).toEqual([1, 41]);

      first.signing = { kind: 'sign' };
      await vi.advanceTimersByTimeAsync(16 * probeIntervalMs);
      expect(healthOf(group)).toEqual([true, true]);
      first.signing = { kind: 'fail', error: denied };
      await sign(group);
      first.signing = { kind: 'sign' };
      await vi.advanceTimersByTimeAsync(probeIntervalMs);
      expect(healthOf(group)).toEqual([true, true]);
    },
  );

  it('are one at a time, also where a member fails anew while it is probed', async () => {
    const group = await openGroup([first, second]);
    first.signing = second.signing = { kind: 'fail', error: unavailable };
    await expect(sign(group)).rejects.toBe(unavailable);
    const checking = Promise.withResolvers<never>();
    first.health = checking.promise;
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    // while its device is asked it signs, and fails again
    first.signing = { kind: 'sign' };
    await sign(group);
    first.signing = { kind: 'fail', error: unavailable };
    second.signing = { kind: 'sign' };
    await sign(group);
    expect(healthOf(group)[0]).toBe(false);
    const before = first.checks;
    first.health = unavailable;
    checking.reject(unavailable);
    await vi.advanceTimersByTimeAsync(2 * probeIntervalMs);
    expect(first.checks - before).toBe(1);
    expect(healthOf(group)).toEqual([false, true]);
  });

  it('do not take back a member whose key is another one now', async () => {
    const group = await openGroup([first, second]);
    first.signing = { kind: 'fail', error: unavailable };
    await sign(group);
    first.signing = { kind: 'sign' };
    first.privateKey = otherPrivateKey;
    await vi.advanceTimersByTimeAsync(100 * probeIntervalMs);
    expect(healthOf(group)).toEqual([false, true]);
    expect(log).toHaveBeenLastCalledWith(
      'warn',
      expect.any(String),
      expect.objectContaining({ member: 'first', code: 'KEY_UNSUITABLE' }),
    );
  });

  it('that hang end after an interval and are repeated', async () => {
    vi.useRealTimers();
    const group = await openFailoverProvider({
      members: [first, second],
      hedge: false,
      probeIntervalMs: 10,
      prove,
      log,
      signal: never,
    });
    open.push(group);
    first.signing = { kind: 'fail', error: unavailable };
    first.health = new Promise<never>(() => undefined);
    await sign(group);
    const before = first.checks;
    await soon(() => expect(first.checks).toBeGreaterThan(before));
    first.health = undefined;
    first.signing = { kind: 'sign' };
    await soon(() => expect(healthOf(group)).toEqual([true, true]));
  });
});

describe('hedging', () => {
  /** Twenty calls of 20 ms each. */
  async function warmUp(group: FailoverProvider, calls = 20, ms = 20): Promise<void> {
    first.signing = { kind: 'sign-after', ms };
    for (let call = 0; call < calls; call += 1) {
      const signed = sign(group);
      await vi.advanceTimersByTimeAsync(ms);
      await signed;
    }
  }

  it('calls the next member when the first takes longer than its 95th percentile, and aborts the loser', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group);
    first.signing = { kind: 'hang' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(19);
    expect(callsOf(group)).toEqual([21, 0]);
    await vi.advanceTimersByTimeAsync(1);
    await signed;
    expect(countsOf(group)).toEqual({
      first: { calls: 21, failures: 0, hedges: 0, discarded: 1 },
      second: { calls: 1, failures: 0, hedges: 1, discarded: 0 },
    });
    expect(first.signals.at(-1)?.aborted).toBe(true);
    expect(healthOf(group)).toEqual([true, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gives the first member’s signature when that comes first after all, and discards the second', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group);
    first.signing = { kind: 'sign-after', ms: 30 };
    second.signing = { kind: 'sign-after', ms: 50 };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(30);
    await signed;
    await vi.advanceTimersByTimeAsync(100);
    expect(countsOf(group)).toEqual({
      first: { calls: 21, failures: 0, hedges: 0, discarded: 0 },
      second: { calls: 1, failures: 0, hedges: 1, discarded: 1 },
    });
    expect(second.signals.at(-1)?.aborted).toBe(true);
  });

  it('waits for the slow member when the hedge fails', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group);
    first.signing = { kind: 'sign-after', ms: 100 };
    second.signing = { kind: 'sign-with-another-key' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(100);
    await signed;
    expect(countsOf(group)).toEqual({
      first: { calls: 21, failures: 0, hedges: 0, discarded: 0 },
      second: { calls: 1, failures: 1, hedges: 1, discarded: 0 },
    });
  });

  it.each([
    ['before there are 20 samples', { hedge: true }, 19],
    ['when it is off', { hedge: false }, 20],
  ])('makes no second call %s', async (_, options, samples) => {
    const group = await openGroup([first, second], options);
    await warmUp(group, samples);
    first.signing = { kind: 'sign-after', ms: 900 };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(900);
    await signed;
    expect(callsOf(group)).toEqual([samples + 1, 0]);
  });

  it('makes no second call within 5 ms, however fast the member was', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group, 20, 0);
    first.signing = { kind: 'hang' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(4);
    expect(callsOf(group)).toEqual([21, 0]);
    await vi.advanceTimersByTimeAsync(1);
    await signed;
    expect(callsOf(group)).toEqual([21, 1]);
  });

  it('forgets all but the last 100 latencies', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group, 20, 500);
    await warmUp(group, 95, 20);
    first.signing = { kind: 'hang' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(20);
    await signed;
    expect(callsOf(group)).toEqual([116, 1]);
  });

  it('goes by all of the last 100 latencies', async () => {
    const group = await openGroup([first, second], { hedge: true });
    // a hedge fails: the first member's own times are what counts
    second.signing = { kind: 'fail', error: throttled };
    await warmUp(group, 95, 20);
    await warmUp(group, 5, 500);
    second.signing = { kind: 'sign' };
    const [, before = 0] = callsOf(group);
    first.signing = { kind: 'hang' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(19);
    expect(callsOf(group)).toEqual([101, before]);
    await vi.advanceTimersByTimeAsync(1);
    await signed;
    expect(callsOf(group)).toEqual([101, before + 1]);
  });

  it('goes by the 95th percentile of fewer latencies too, by nearest rank', async () => {
    const group = await openGroup([first, second], { hedge: true });
    second.signing = { kind: 'fail', error: throttled };
    await warmUp(group, 28, 20);
    await warmUp(group, 1, 100);
    await warmUp(group, 1, 500);
    second.signing = { kind: 'sign' };
    const [, before = 0] = callsOf(group);
    first.signing = { kind: 'hang' };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(99);
    expect(callsOf(group)).toEqual([31, before]);
    await vi.advanceTimersByTimeAsync(1);
    await signed;
    expect(callsOf(group)).toEqual([31, before + 1]);
  });

  it('makes no second call where there is nobody else', async () => {
    const group = await openGroup([first], { hedge: true });
    await warmUp(group);
    first.signing = { kind: 'sign-after', ms: 500 };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(500);
    await signed;
    expect(countsOf(group)).toEqual({ first: { calls: 21, failures: 0, hedges: 0, discarded: 0 } });
  });

  it('makes no second call to a member that is not healthy', async () => {
    const group = await openGroup([first, second], { hedge: true });
    await warmUp(group);
    second.signing = { kind: 'fail', error: unavailable };
    first.signing = { kind: 'fail', error: throttled };
    await expect(sign(group)).rejects.toBe(throttled);
    first.signing = { kind: 'sign-after', ms: 500 };
    const signed = sign(group);
    await vi.advanceTimersByTimeAsync(500);
    await signed;
    expect(callsOf(group)).toEqual([22, 1]);

    first.signing = { kind: 'fail', error: unavailable };
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(healthOf(group)).toEqual([false, false]);
    first.signing = { kind: 'sign-after', ms: 400 };
    const lastResort = sign(group);
    await vi.advanceTimersByTimeAsync(400);
    await lastResort;
    expect(callsOf(group)).toEqual([24, 2]);
  });
});

describe('close', () => {
  it('ends calls under way as PROVIDER_CLOSED, closes every member once and refuses later calls', async () => {
    first.signing = { kind: 'hang' };
    const group = await openGroup([first, second]);
    const signed = group.signDigest(digest, { signal: never });
    await vi.advanceTimersByTimeAsync(0);
    const closed = group.close();
    await expect(signed).rejects.toMatchObject({ code: 'PROVIDER_CLOSED' });
    await Promise.all([closed, group.close()]);
    expect([first.closed, second.closed]).toEqual([1, 1]);
    expect(callsOf(group)).toEqual([1, 0]);
    for (const call of [
      group.signDigest(digest, { signal: never }),
      group.getPublicKey({ signal: never }),
      group.checkHealth?.({ signal: never }),
    ]) {
      await expect(call).rejects.toMatchObject({ code: 'PROVIDER_CLOSED' });
    }
  });

  it('ends the probes, and closes a member that opens afterwards', async () => {
    first.opening = unavailable;
    const third = new TestDevice('third');
    const group = await openGroup([first, second, third]);
    third.signing = second.signing = { kind: 'fail', error: unavailable };
    await expect(sign(group)).rejects.toBe(unavailable);
    const opening = Promise.withResolvers<undefined>();
    first.opening = opening.promise;
    await vi.advanceTimersByTimeAsync(probeIntervalMs);
    expect(first.opened).toBe(2);
    await expect(sign(group)).rejects.toBe(unavailable);
    expect(vi.getTimerCount()).toBe(2);
    await group.close();
    expect(vi.getTimerCount()).toBe(0);
    opening.resolve(undefined);
    await vi.advanceTimersByTimeAsync(100 * probeIntervalMs);
    expect([first.opened, first.closed]).toEqual([2, 1]);
    expect(vi.getTimerCount()).toBe(0);
    expect(healthOf(group)).toEqual([false, false, false]);
  });
});

describe('what operators see', () => {
  it('is each member’s health, counters and attributes', async () => {
    first.signing = { kind: 'fail', error: unavailable };
    second.opening = unavailable;
    const third = new TestDevice('third');
    const group = await openGroup([first, second, third]);
    await sign(group);
    expect(group.keyRef).toBe('failover:first,second,third');
    expect(await group.describeKey?.({ signal: never })).toEqual({
      'first.keyRef': 'test:first',
      'first.healthy': 'false',
      'first.calls': '1',
      'first.failures': '1',
      'first.hedges': '0',
      'first.discarded': '0',
      'first.curve': 'secp256k1',
      'second.keyRef': 'not open yet',
      'second.healthy': 'false',
      'second.calls': '0',
      'second.failures': '0',
      'second.hedges': '0',
      'second.discarded': '0',
      'third.keyRef': 'test:third',
      'third.healthy': 'true',
      'third.calls': '1',
      'third.failures': '0',
      'third.hedges': '0',
      'third.discarded': '0',
      'third.curve': 'secp256k1',
    });
  });

  it('is why a member does not describe its key, in words of this program', async () => {
    const group = await openGroup([first, second]);
    first.description = unavailable;
    second.description = new Error('token hunter2');
    const described = await group.describeKey?.({ signal: never });
    expect(described).toMatchObject({
      'first.keyRef': 'test:first',
      'first.error': 'the region is down',
      'second.healthy': 'true',
      'second.error': 'second failed in a way it does not explain',
    });
    expect(described).not.toHaveProperty(['first.curve']);
  });

  it.each<[boolean, unknown]>([
    [true, unavailable],
    [true, new ProviderError('PROVIDER_UNAVAILABLE', 'no such region')],
    [true, throttled],
    [false, denied],
    [false, new Error('a mistake')],
    [false, Object.assign(new Error('a mistake'), { retryable: true })],
    [false, undefined],
  ])('is whether a failure may pass by itself: %s, case %#', (may, failure) => {
    expect(mayPass(failure)).toBe(may);
  });

  it('is the deadline alone where it passes while a member is asked, whenever that is', async () => {
    const group = await openGroup([first]);
    const outcomes = new Set<string>();
    for (let waits = 0; waits < 60; waits += 1) {
      const deadline = new AbortController();
      const asked = group.checkHealth?.({ signal: deadline.signal });
      const outcome = Promise.resolve(asked).then(
        () => 'healthy',
        (error: unknown) => (error as ProviderError).code,
      );
      for (let step = 0; step < waits; step += 1) await Promise.resolve();
      deadline.abort(new DOMException('late', 'TimeoutError'));
      outcomes.add(await outcome);
    }
    expect([...outcomes].sort()).toEqual(['PROVIDER_TIMEOUT', 'healthy']);
  });

  it('is a healthy group while one member can serve, and else the error that may pass', async () => {
    const group = await openGroup([first, second]);
    first.health = denied;
    await expect(group.checkHealth?.({ signal: never })).resolves.toBeUndefined();
    second.health = unavailable;
    await expect(group.checkHealth?.({ signal: never })).rejects.toBe(unavailable);
  });
});
