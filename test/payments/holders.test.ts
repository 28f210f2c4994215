import { describe, expect, it } from 'vitest';
import type { Caller } from '../../src/auth/authorization.ts';
import { anonymous, payerAttribute } from '../../src/auth/principal.ts';
import { answerHolder, nonceHolder } from '../../src/payments/holders.ts';
import {
  type Sender,
  type Senders,
  chooseSender,
  describeSender,
  findSealer,
} from '../../src/payments/senders.ts';
import { SessionUsage } from '../../src/payments/session-usage.ts';
import { addressFromBytes } from '../../src/pm/bytes.ts';

const nobody: Caller = {
  headers: new Map(),
  authId: '',
  credentialHash: 'aa'.repeat(32),
  principal: anonymous,
};
const alice = { id: 'alice', tenant: 'acme', attributes: {} };

describe('whose share of a memory a payment takes', () => {
  it.each<[string, Caller, string, string, { tenant: string; principal: string }]>([
    ['nobody', nobody, '', '', { tenant: '', principal: nobody.credentialHash }],
    [
      'a principal of a tenant',
      { ...nobody, principal: alice, authId: 'other:bob' },
      'third:carol',
      'tenant:acme',
      { tenant: 'acme', principal: 'alice' },
    ],
    [
      'a principal of none',
      { ...nobody, principal: { ...alice, tenant: '' } },
      'third:carol',
      'principal:alice',
      { tenant: '', principal: 'alice' },
    ],
    [
      'whom a proxy names',
      { ...nobody, authId: 'other:bob' },
      'third:carol',
      'tenant:other',
      { tenant: 'other', principal: 'other:bob' },
    ],
    [
      'whom the session was opened for',
      nobody,
      'third:carol',
      'tenant:third',
      { tenant: 'third', principal: 'third:carol' },
    ],
    [
      'an id without a tenant',
      nobody,
      'carol',
      'principal:carol',
      { tenant: '', principal: 'carol' },
    ],
  ])('%s', (_, caller, sessionAuthId, ofNonces, ofAnswers) => {
    expect(nonceHolder(caller, sessionAuthId)).toBe(ofNonces);
    expect(answerHolder(caller, sessionAuthId)).toEqual(ofAnswers);
  });
});

describe('which key pays', () => {
  const addresses = [1, 2, 3].map((number) => addressFromBytes(Uint8Array.of(number)));
  const senders = addresses.map((address) => ({ gate: { address } })) as unknown as Senders;
  const asking = (header: string | undefined, own?: string): Caller => ({
    ...nobody,
    headers: new Map(header === undefined ? [] : [['Livepeer-Payer-Address', [header, 'x']]]),
    principal: { ...alice, attributes: own === undefined ? {} : { [payerAttribute]: own } },
  });
  const [first = '', second = '', third = ''] = addresses;

  it('is the first, or the one that the caller asks for, or its principal’s', () => {
    expect(chooseSender(senders, asking(undefined))).toBe(senders[0]);
    expect(chooseSender(senders, asking(second))).toBe(senders[1]);
    expect(chooseSender(senders, asking(second.toUpperCase().replace('0X', '0x')))).toBe(
      senders[1],
    );
    expect(chooseSender(senders, asking(undefined, third))).toBe(senders[2]);
    expect(chooseSender(senders, asking(third, third))).toBe(senders[2]);
  });

  it.each<[string, Caller, string, RegExp]>([
    [
      'another than the principal’s',
      asking(first, third),
      'CREDENTIAL_NOT_PERMITTED',
      /^Livepeer-/,
    ],
    [
      'what is no address, beside its own',
      asking('x', third),
      'CREDENTIAL_NOT_PERMITTED',
      /another/,
    ],
    [
      'none of these',
      asking(`0x${'11'.repeat(20)}`),
      'SENDER_UNKNOWN',
      /^Livepeer-Payer-Address n/,
    ],
    ['what is no address', asking('x'), 'SENDER_UNKNOWN', /^Livepeer-Payer-Address n/],
    [
      'what its principal should not have',
      asking(undefined, 'x'),
      'SENDER_UNKNOWN',
      /^the principal's payer n/,
    ],
  ])('is not %s', (_, caller, code, message) => {
    const choose = () => chooseSender(senders, caller);
    expect(choose).toThrow(expect.objectContaining({ code }) as Error);
    expect(choose).toThrow(message);
  });
});

describe('a key', () => {
  const state = { state: Uint8Array.of(1), sig: Uint8Array.of(2) };

  it('ends the sessions whose state is sealed for it', () => {
    const sealing = (seals: boolean) => ({ isSealed: (of: unknown) => seals && of === state });
    const senders = [sealing(false), sealing(true), sealing(true)] as unknown as Senders;
    expect(findSealer(senders, state)).toBe(senders[1]);
    expect(() => findSealer([senders[0]], state)).toThrow(
      expect.objectContaining({ code: 'STATE_SIGNATURE_INVALID', message: 'invalid sig' }) as Error,
    );
  });

  it('is described by its role and its use', () => {
    const usage = new SessionUsage(Date.parse('2026-01-02T03:00:00Z'));
    const gate = { address: '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed' };
    const sender = { gate, role: 'retiring', usage } as unknown as Sender;
    const nowMs = Date.parse('2026-01-02T04:00:00Z');
    const unused = {
      address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
      role: 'retiring',
      sessionsInLastHour: 0,
      lastPaymentAt: null,
      observedSince: '2026-01-02T03:00:00.000Z',
    };
    expect(describeSender(sender, nowMs)).toEqual(unused);
    usage.record('ab'.repeat(8), nowMs - 1);
    expect(describeSender(sender, nowMs)).toEqual({
      ...unused,
      sessionsInLastHour: 1,
      lastPaymentAt: '2026-01-02T03:59:59.999Z',
    });
  });
});
