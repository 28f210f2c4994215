import { afterEach, describe, expect, it, vi } from 'vitest';
import { SignerError } from '../../src/errors.ts';
import { openKeyGate } from '../../src/keys/gate.ts';
import type { GrantReason } from '../../src/keys/grant.ts';
import { type Intent, digestsOf } from '../../src/keys/intents.ts';
import type { KeyJournal, KeyUse } from '../../src/keys/key-journal.ts';
import { type CallTurn, type KeyProvider, ProviderError } from '../../src/keys/provider.ts';
import { createGrantAuthority } from '../../src/policy/grants.ts';
import { stepChannels, type StepMessage } from '../../src/trace-steps.ts';
import { never, openTestProvider } from './open-test-gate.ts';
import { anyTicket } from './tickets-fuzz.ts';
import { fc } from '../support/fast-check.ts';
import { soon } from '../support/soon.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A gate over a key whose calls take this long, and what it tells the journal. */
async function openRecordedGate({
  callMs = 0,
  failure,
  reason = {},
  recordMs = 0,
  inBatches = false,
  held = Promise.resolve(),
  tickets = 2,
  requireSigning = () => undefined,
}: {
  callMs?: number;
  failure?: Error;
  reason?: GrantReason;
  recordMs?: number;
  inBatches?: boolean;
  held?: Promise<unknown>;
  tickets?: 1 | 2;
  requireSigning?: (intent: Intent) => void;
}) {
  const { provider: real } = await openTestProvider();
  const turns: (CallTurn | undefined)[] = [];
  const told: unknown[] = [];
  const uses: KeyUse[] = [];
  const journal: KeyJournal = {
    begin: (use) => {
      uses.push(use);
      if (vi.isFakeTimers()) vi.advanceTimersByTime(recordMs);
      return Promise.resolve({
        signed: (durationMs, event) =>
          Promise.resolve(void told.push(['signed', durationMs, event])),
        failed: (code, durationMs) => void told.push(['failed', code, durationMs]),
      });
    },
  };
  const sign: KeyProvider['signDigest'] = async (digest, options) => {
    turns.push(options.turn);
    if (vi.isFakeTimers()) vi.advanceTimersByTime(callMs);
    await held;
    return failure ? Promise.reject(failure) : real.signDigest(digest, { signal: never });
  };
  const provider: KeyProvider = {
    ...real,
    keyRef: 'test-key:slot:7',
    concurrency: 1,
    signDigest: sign,
    ...(inBatches && {
      signDigests: async (digests, options) => {
        const signatures = [];
        for (const digest of digests) signatures.push(await sign(digest, options));
        return signatures;
      },
    }),
  };
  const grants = createGrantAuthority(() => 0);
  const gate = await openKeyGate({
    provider,
    requireSigning,
    redeem: (grant) => grants.redeem(grant),
    journal,
    maxQueued: 100,
    signal: never,
  });
  const [ticket = expect.unreachable()] = fc.sample(anyTicket, { numRuns: 1, seed: 7 });
  const batch = [ticket, { ...ticket, senderNonce: 9 }].slice(0, tickets);
  const intent: Intent = { kind: 'ticket-batch', tickets: batch };
  const grant = grants.issue(intent, reason);
  return { gate, grant, intent, turns, told, uses };
}

describe('the record of a key use', () => {
  it('names key, sender, digests and reason, and how long its calls took', async () => {
    vi.useFakeTimers({ toFake: ['performance'], now: 5_000 });
    vi.advanceTimersByTime(5_000);
    const reason = { requestId: 'r1' };
    const { gate, grant, intent, told, uses } = await openRecordedGate({
      callMs: 40,
      recordMs: 1_000,
      reason,
    });
    const whole = { otherParts: Promise.resolve(), event: 'an event' };
    expect(await gate.sign(grant, { signal: never, whole })).toHaveLength(2);
    expect(uses).toEqual([
      {
        intent,
        reason,
        sender: gate.address,
        keyRef: 'test-key:slot:7',
        digests: digestsOf(intent),
      },
    ]);
    expect(told).toEqual([['signed', 80, 'an event']]);
  });

  it.each([
    [new ProviderError('KEY_ACCESS_DENIED', 'no'), 'KEY_ACCESS_DENIED'],
    [new TypeError('a defect'), 'INTERNAL'],
  ])('names why nothing was signed: %s', async (failure, code) => {
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.advanceTimersByTime(5_000);
    const { gate, grant, told } = await openRecordedGate({ callMs: 30, failure });
    await expect(gate.sign(grant, { signal: never })).rejects.toBe(failure);
    expect(told).toEqual([['failed', code, 30]]);
  });

  it('is that of a failure where another part of the payment fails, and nothing is handed out', async () => {
    const { gate, grant, told, turns } = await openRecordedGate({});
    const failure = new ProviderError('PROVIDER_TIMEOUT', 'the other part');
    const otherParts = Promise.reject(failure);
    otherParts.catch(() => undefined);
    const whole = { otherParts, event: 'an event' };
    await expect(gate.sign(grant, { signal: never, whole })).rejects.toBe(failure);
    expect(turns).toHaveLength(2);
    expect(told).toEqual([['failed', 'PROVIDER_TIMEOUT', expect.any(Number)]]);
  });
});

describe('a call of the key', () => {
  it.each<[string, GrantReason, string]>([
    ['its tenant', { tenant: 'acme', principal: 'ann' }, 'tenant:acme'],
    ['its principal, where that has no tenant', { tenant: '', principal: 'ann' }, 'principal:ann'],
    [
      'a principal without any word of tenants',
      { principal: 'tenant:acme' },
      'principal:tenant:acme',
    ],
    ['nobody', { tenant: '', principal: '' }, ''],
    ['the signer itself', {}, ''],
  ])('takes turns for %s', async (_, reason, tenant) => {
    for (const inBatches of [false, true]) {
      const { gate, grant, intent, turns } = await openRecordedGate({ reason, inBatches });
      await gate.sign(grant, { signal: never });
      expect(turns).toHaveLength(2);
      for (const turn of turns) expect(turn).toEqual({ lane: grant, tenant, intent });
      expect(turns[0]?.lane).toBe(grant);
    }
  });

  it.each([
    [false, [1, 1]],
    [true, [2]],
  ])(
    'is a step of the trace, with the provider’s name alone (in batches: %s)',
    async (inBatches, counts) => {
      const steps: unknown[] = [];
      const onStart = (message: unknown): void =>
        void steps.push((message as StepMessage).attributes);
      const { start } = stepChannels['key-call'];
      start.subscribe(onStart);
      try {
        const { gate, grant } = await openRecordedGate({ inBatches });
        await gate.sign(grant, { signal: never });
      } finally {
        start.unsubscribe(onStart);
      }
      expect(steps).toEqual(
        counts.map((signatures) => ({ provider: 'test-key', intent: 'ticket-batch', signatures })),
      );
    },
  );

  it('is told to who counts the calls, each digest once', async () => {
    for (const inBatches of [false, true]) {
      const { gate, grant } = await openRecordedGate({ inBatches });
      const onCall = vi.fn();
      await gate.sign(grant, { signal: never, onCall });
      expect(onCall).toHaveBeenCalledTimes(2);
      expect(gate.condition.failure).toBeUndefined();
      expect(gate.condition.signedAtMs).toBeGreaterThan(0);
    }
  });

  it('is not made once signing has been stopped, be others of its payment made or not', async () => {
    const stopped = new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing');
    for (const inBatches of [false, true]) {
      for (const permitted of inBatches ? [0] : [0, 1]) {
        const asked: Intent[] = [];
        const requireSigning = (intent: Intent): void => {
          asked.push(intent);
          if (asked.length > permitted) throw stopped;
        };
        const { gate, grant, intent, turns, told } = await openRecordedGate({
          requireSigning,
          inBatches,
        });
        const onCall = vi.fn();
        await expect(gate.sign(grant, { signal: never, onCall })).rejects.toBe(stopped);
        expect(turns).toHaveLength(permitted);
        expect(onCall).toHaveBeenCalledTimes(permitted);
        expect(asked[0]).toBe(intent);
        expect(told).toEqual([['failed', 'SIGNING_PAUSED', expect.any(Number)]]);
      }
    }
  });

  it('that ended after signing was stopped hands out nothing, and its record says why', async () => {
    const stopped = new SignerError('SIGNING_PAUSED', 'an operator has stopped all signing');
    for (const inBatches of [false, true]) {
      const held = Promise.withResolvers<undefined>();
      let isStopped = false;
      const requireSigning = (): void => {
        if (isStopped) throw stopped;
      };
      // a single digest, so that no further call finds signing stopped
      const { gate, grant, turns, told } = await openRecordedGate({
        requireSigning,
        inBatches,
        tickets: 1,
        held: held.promise,
      });
      const signing = gate.sign(grant, { signal: never });
      await soon(() => expect(turns).toHaveLength(1));
      isStopped = true;
      held.resolve(undefined);
      await expect(signing).rejects.toBe(stopped);
      expect(told).toEqual([['failed', 'SIGNING_PAUSED', expect.any(Number)]]);
    }
  });

  it('waits where the key takes no more, and is counted while it does', async () => {
    const held = Promise.withResolvers<undefined>();
    const { gate, grant } = await openRecordedGate({ held: held.promise });
    expect(gate.waitingCalls()).toBe(0);
    const signing = gate.sign(grant, { signal: never });
    await soon(() => expect(gate.waitingCalls()).toBe(1));
    held.resolve(undefined);
    await signing;
    expect(gate.waitingCalls()).toBe(0);
  });
});
