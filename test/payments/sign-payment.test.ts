import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { KeyGate } from '../../src/keys/gate.ts';
import type { Grant } from '../../src/keys/grant.ts';
import { type Intent, digestsOf } from '../../src/keys/intents.ts';
import type { KeyJournal } from '../../src/keys/key-journal.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import type { Sender } from '../../src/payments/senders.ts';
import { type StateFields, signPayment } from '../../src/payments/sign-payment.ts';
import { addressFromBytes, toHex } from '../../src/pm/bytes.ts';
import { rational } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import type { AllowedPayment } from '../../src/policy/decide-payment.ts';
import { never, openTestGate, openTestProvider } from '../keys/open-test-gate.ts';
import { anyTicket } from '../keys/tickets-fuzz.ts';
import { fc } from '../support/fast-check.ts';
import type { TestKeyOptions } from '../support/test-key.ts';

const tickets = fc.sample(anyTicket, { numRuns: 3, seed: 7 });
const address = addressFromBytes(Uint8Array.of(1));

const books: SessionState = {
  stateId: 'a session',
  pmSessionId: `0x${'ab'.repeat(32)}`,
  lastUpdate: 1n,
  orchestratorAddress: address,
  app: 'an app',
  authExpiry: 0n,
  senderNonce: 3,
  balance: rational(1n),
  initialPrice: { pricePerUnit: 1n, pixelsPerUnit: 1n },
  type: 'lv2v',
  sequenceNumber: 0n,
  authId: '',
  recipient: address,
  credentialHash: undefined,
  principal: undefined,
  startedAt: 1n,
  spentEv: 1n,
  weiPerUsd: undefined,
  segmentCredentials: undefined,
};

type Options = TestKeyOptions & {
  readonly stateFields?: StateFields;
  /** the instance seals the books, not the key */
  readonly isSealedByInstance?: boolean;
  /** the session has them already */
  readonly credentials?: Uint8Array;
  readonly signal?: AbortSignal;
  /** the kind of intent of whose signatures the last is lost */
  readonly fewerOf?: string;
};

/** A payment of three tickets, its key behind the real gate. */
async function openPayment(options: Options = {}) {
  const { stateFields = 'extended', isSealedByInstance, credentials, fewerOf } = options;
  const { signal = never } = options;
  const outcomes: string[] = [];
  const journal: KeyJournal = {
    begin: ({ intent }) =>
      Promise.resolve({
        signed: (_ms, event) => {
          outcomes.push(`${intent.kind} signed ${event ?? 'without an event'}`);
          return Promise.resolve();
        },
        failed: () => void outcomes.push(`${intent.kind} failed`),
      }),
  };
  const { provider, key } = await openTestProvider(options);
  const { gate: whole, issue: issueGrant } = await openTestGate(provider, { journal });
  const kinds = new Map<Grant, string>();
  const issue = (intent: Intent): Grant => {
    const grant = issueGrant(intent);
    kinds.set(grant, intent.kind);
    return grant;
  };
  const gate: Pick<KeyGate, 'sign'> = {
    sign: async (grant, signOptions) => {
      const signatures = await whole.sign(grant, signOptions);
      return kinds.get(grant) === fewerOf ? signatures.slice(0, -1) : signatures;
    },
  };
  const credentialsIntent: Intent = { kind: 'segment-credentials', manifestId: 'm' };
  const sealed: Intent[] = [];
  const payment = {
    tickets,
    books,
    ticketBatch: issue({ kind: 'ticket-batch', tickets }),
    segmentCredentials: credentials ?? issue(credentialsIntent),
    sealBooks: (intent: Intent) => {
      sealed.push(intent);
      return issue(intent);
    },
  } as unknown as AllowedPayment;
  const instanceSeal = { current: () => () => Uint8Array.of(9) };
  const sender = { gate, ...(isSealedByInstance && { instanceSeal }) } as unknown as Sender;
  const keyUse = { ticketCalls: 0, otherCalls: 0 };
  const context = { manifestId: 'm', event: 'the event', keyUse };
  const isOf = (intent: Intent) => (digest: Uint8Array) =>
    digestsOf(intent).some((one) => toHex(one) === toHex(digest));
  return {
    ...{ key, keyUse, outcomes, sealed },
    isOfTickets: isOf({ kind: 'ticket-batch', tickets }),
    isOfCredentials: isOf(credentialsIntent),
    sign: () => signPayment(sender, stateFields, payment, context, signal),
  };
}

const stateOf = ({ state }: { readonly state: Uint8Array }) =>
  JSON.parse(Buffer.from(state).toString()) as Record<string, unknown>;

const throttled = (): never => {
  throw new ProviderError('PROVIDER_REPLY_INVALID', 'no');
};

describe('what a payment has signed', () => {
  it('is its tickets, credentials and books, all counted; the books carry the credentials', async () => {
    const ended = new AbortController();
    const { sign, keyUse, outcomes, sealed } = await openPayment({ signal: ended.signal });
    const signed = await sign();
    expect(signed.tickets.map(({ ticket }) => ticket)).toEqual(tickets);
    for (const { signature } of signed.tickets) expect(signature).toHaveLength(65);
    expect(signed.segmentCredentials).toHaveLength(65);
    expect(signed.seal).toHaveLength(65);
    expect(sealed).toEqual([{ kind: 'session-state', state: signed.state }]);
    expect(keyUse).toEqual({ ticketCalls: 3, otherCalls: 2 });
    expect(outcomes.sort()).toEqual([
      'segment-credentials signed without an event',
      'session-state signed without an event',
      'ticket-batch signed the event',
    ]);
    expect(JSON.stringify(stateOf(signed))).toContain(
      Buffer.from(signed.segmentCredentials).toString('base64'),
    );
    expect(getEventListeners(ended.signal, 'abort')).toEqual([]);
  });

  it('is no more than the tickets where the session has credentials and the instance seals', async () => {
    const credentials = new Uint8Array(65).fill(7);
    const { sign, keyUse } = await openPayment({ isSealedByInstance: true, credentials });
    const signed = await sign();
    expect(signed).toMatchObject({ segmentCredentials: credentials, seal: Uint8Array.of(9) });
    expect(keyUse).toEqual({ ticketCalls: 3, otherCalls: 0 });
  });

  it('are books without more than go-livepeer’s fields where it must read them', async () => {
    const { sign } = await openPayment({ stateFields: 'upstream' });
    const signed = await sign();
    expect(Buffer.from(signed.state).toString()).not.toContain(
      Buffer.from(signed.segmentCredentials).toString('base64'),
    );
    expect(stateOf(signed)).toHaveProperty('StateID', 'a session');
  });
});

describe('a payment that can’t be signed as a whole', () => {
  it.each(['ticket-batch', 'segment-credentials', 'session-state'])(
    'is none where the gate gives fewer signatures than it was asked for: %s',
    async (kind) => {
      const { sign } = await openPayment({ fewerOf: kind });
      await expect(sign()).rejects.toMatchObject({ code: 'INTERNAL' });
    },
  );

  it('asks the key for nothing where its time is over already', async () => {
    const signal = AbortSignal.abort(new Error('too late'));
    const { sign, key, keyUse } = await openPayment({ signal });
    await expect(sign()).rejects.toThrow();
    expect(key.digests).toEqual([]);
    expect(keyUse).toEqual({ ticketCalls: 0, otherCalls: 0 });
  });

  it('has its calls ended when its time is over', async () => {
    const ended = new AbortController();
    const { sign, key, outcomes } = await openPayment({
      ...{ signal: ended.signal, delayMs: 60_000, isSealedByInstance: true },
    });
    const signing = expect(sign()).rejects.toThrow();
    await expect.poll(() => key.digests.length).toBe(4);
    ended.abort(new Error('too late'));
    await signing;
    await expect.poll(() => outcomes.length).toBe(2);
    expect(outcomes.sort()).toEqual(['segment-credentials failed', 'ticket-batch failed']);
    expect(getEventListeners(ended.signal, 'abort')).toEqual([]);
  });

  it('begins no other call once a ticket has failed', async () => {
    const released = Promise.withResolvers<undefined>();
    const payment = await openPayment({
      reply: async (bytes, digest) => {
        if (payment.isOfTickets(digest)) return throttled();
        await released.promise;
        return { encoding: 'raw', bytes };
      },
    });
    await expect(payment.sign()).rejects.toMatchObject({ code: 'PROVIDER_REPLY_INVALID' });
    released.resolve(undefined);
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    expect(payment.keyUse.otherCalls).toBe(1);
    expect(payment.key.digests.filter((digest) => !payment.isOfTickets(digest))).toHaveLength(1);
    expect(payment.outcomes.sort()).toEqual(['segment-credentials failed', 'ticket-batch failed']);
  });

  it.each<[string, 'credentials' | 'seal', StateFields]>([
    ['credentials', 'credentials', 'upstream'],
    ['seal', 'seal', 'upstream'],
    ['seal', 'seal', 'extended'],
  ])('is told of to nobody where the %s failed', async (_, what, stateFields) => {
    const payment = await openPayment({
      stateFields,
      reply: (bytes, digest) => {
        const fails =
          what === 'credentials'
            ? payment.isOfCredentials(digest)
            : !payment.isOfCredentials(digest) && !payment.isOfTickets(digest);
        return fails ? throttled() : { encoding: 'raw', bytes };
      },
    });
    await expect(payment.sign()).rejects.toMatchObject({ code: 'PROVIDER_REPLY_INVALID' });
    await expect.poll(() => payment.outcomes.length).toBe(3);
    expect(payment.outcomes).toContain('ticket-batch failed');
  });
});
