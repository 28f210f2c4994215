import { describe, expect, it } from 'vitest';
import { bytes32FromBytes, maxUint256, parseAddress } from '../../src/pm/bytes.ts';
import { rational } from '../../src/pm/rational.ts';
import { refuseSender, refuseTicketParams } from '../../src/pm/ticket-params-validation.ts';
import type { TicketParams } from '../../src/pm/ticket.ts';

const word = bytes32FromBytes(Uint8Array.of(1));
const recipient = parseAddress(`0x${'11'.repeat(20)}`);
if (recipient === undefined) throw new Error('the test needs an address');
const params: TicketParams = {
  recipient,
  faceValue: 1000n,
  winProb: maxUint256 / 10n,
  recipientRandHash: word,
  seed: 1n,
  expirationBlock: 100n,
  creationRound: undefined,
};
const facts = { l1Block: 50n, round: 7n, deposit: 2000n, reserve: 1n, withdrawRound: 0n };
const limits = { maxTicketEv: rational(100n), maxTotalEv: rational(500n), depositMultiplier: 2n };

const refuse = (changes: Partial<TicketParams>, changedFacts: Partial<typeof facts> = {}) =>
  refuseTicketParams({ ...params, ...changes }, 5n, { ...facts, ...changedFacts }, limits);
const malformed = (field: string) => ({ code: 'TICKET_PARAMS_MALFORMED', data: { field } });
const inRound = (round: bigint) => ({ creationRound: { round, blockHash: word } });

describe('ticket parameters', () => {
  it('may be signed up to every limit', () => {
    expect(refuse({})).toBeUndefined();
    expect(refuse({ expirationBlock: 52n })).toBeUndefined();
    expect(refuse({}, { withdrawRound: 9n })).toBeUndefined();
    for (const round of [0n, 2n ** 63n - 1n]) expect(refuse(inRound(round))).toBeUndefined();
  });

  it('have amounts of 256 bits and a round of 63', () => {
    expect(refuse({ faceValue: maxUint256 + 1n })).toEqual(malformed('faceValue'));
    expect(refuse({ winProb: maxUint256 + 1n })).toEqual(malformed('winProb'));
    for (const round of [-1n, 2n ** 63n]) {
      expect(refuse(inRound(round))).toEqual(malformed('creationRound'));
    }
  });

  const tenth = maxUint256 / 10n;
  const aboveTenth = maxUint256 / 10n + 1n;
  const ninth = { numerator: 1000n * (maxUint256 / 9n), denominator: maxUint256 };
  it.each<[Partial<TicketParams>, Partial<typeof facts>, string, object]>([
    [{ expirationBlock: 0n }, { l1Block: 0n }, 'EXPIRATION_BLOCK_ZERO', {}],
    [{ expirationBlock: 51n }, {}, 'TICKET_PARAMS_EXPIRED', { expirationBlock: 51n, l1Block: 50n }],
    [{ expirationBlock: 1n }, {}, 'TICKET_PARAMS_EXPIRED', { expirationBlock: 1n, l1Block: 50n }],
    [{ winProb: maxUint256 }, {}, 'FACE_VALUE_TOO_LOW', { actual: 1000n }],
    [
      { winProb: maxUint256 / 9n },
      {},
      'TICKET_EV_ABOVE_MAXIMUM',
      { actual: ninth, maximum: limits.maxTicketEv },
    ],
    [{}, { withdrawRound: 8n }, 'SENDER_UNLOCKING', { withdrawRound: 8n }],
    [{}, { withdrawRound: 1n }, 'SENDER_UNLOCKING', { withdrawRound: 1n }],
    [{}, { reserve: 0n }, 'RESERVE_EMPTY', {}],
    [{}, { deposit: 0n }, 'DEPOSIT_EMPTY', {}],
    [{}, { deposit: 1999n }, 'FACE_VALUE_ABOVE_MAXIMUM', { actual: 1000n, maximum: 999n }],
  ])('%o under %o: %s', (changes, changedFacts, code, data) => {
    expect(refuse(changes, changedFacts)).toEqual({ code, data });
  });

  it('are worth at most the maximum, a ticket and all together, to the last fraction', () => {
    expect(refuse({ winProb: tenth })).toBeUndefined();
    // 1000 wei at a probability just above a tenth
    expect(refuse({ winProb: aboveTenth })).toMatchObject({ code: 'TICKET_EV_ABOVE_MAXIMUM' });
    const ofMany = (count: bigint) => refuseTicketParams(params, count, facts, limits);
    expect(ofMany(5n)).toBeUndefined();
    expect(ofMany(6n)).toEqual({
      code: 'TOTAL_EV_ABOVE_MAXIMUM',
      data: {
        actual: { numerator: 6n * 1000n * tenth, denominator: maxUint256 },
        maximum: limits.maxTotalEv,
        tickets: 6n,
      },
    });
  });

  it('that are worth nothing need neither funds nor a face value', () => {
    const penniless = { deposit: 0n, reserve: 0n, withdrawRound: 1n };
    expect(refuse({ winProb: 0n }, penniless)).toBeUndefined();
    expect(refuse({ faceValue: 0n }, penniless)).toBeUndefined();
    expect(refuse({ winProb: 0n, expirationBlock: 1n })).toMatchObject({
      code: 'TICKET_PARAMS_EXPIRED',
    });
  });

  it('have no recipient with which a ticket begins as a BYOC job does', () => {
    const start = Buffer.from('LP_BYOC_JOB_V1').toString('hex');
    const as = (digits: string) => ({ recipient: parseAddress(`0x${digits}`) ?? recipient });
    expect(refuse(as(`${start}${'00'.repeat(6)}`))).toEqual(malformed('recipient'));
    expect(refuse(as(`${'00'.repeat(6)}${start}`))).toBeUndefined();
  });

  it('name the round from which the sender may withdraw', () => {
    const data = { withdrawRound: 8n };
    expect(refuseSender({ ...facts, ...data })).toEqual({ code: 'SENDER_UNLOCKING', data });
    expect(refuseSender({ ...facts, withdrawRound: 9n })).toBeUndefined();
    expect(refuseSender(facts)).toBeUndefined();
  });
});
