import { describe, expect, it } from 'vitest';
import { bytes32FromBytes, maxUint256, parseAddress } from '../../src/pm/bytes.ts';
import { rational } from '../../src/pm/rational.ts';
import { refuseSender, refuseTicketParams } from '../../src/pm/ticket-params-validation.ts';
import type { TicketParams } from '../../src/pm/ticket.ts';
import { formatUsd } from '../../src/pm/usd.ts';

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

  it.each([
    [{ expirationBlock: 51n }, {}, 'TICKET_PARAMS_EXPIRED'],
    [{ expirationBlock: 0n }, {}, 'EXPIRATION_BLOCK_ZERO'],
    [{ winProb: maxUint256 }, {}, 'FACE_VALUE_TOO_LOW'],
    [{ winProb: maxUint256 / 9n }, {}, 'TICKET_EV_ABOVE_MAXIMUM'],
    [{}, { withdrawRound: 8n }, 'SENDER_UNLOCKING'],
    [{}, { reserve: 0n }, 'RESERVE_EMPTY'],
    [{}, { deposit: 0n }, 'DEPOSIT_EMPTY'],
    [{}, { deposit: 1999n }, 'FACE_VALUE_ABOVE_MAXIMUM'],
  ])('%o under %o: %s', (changes, changedFacts, code) => {
    expect(refuse(changes, changedFacts)).toMatchObject({ code });
  });

  it('name the round from which the sender may withdraw', () => {
    const data = { withdrawRound: 8n };
    expect(refuseSender({ ...facts, ...data })).toEqual({ code: 'SENDER_UNLOCKING', data });
  });
});

describe('US dollars for wei', () => {
  it('are exact to 18 places, without zeros at the end', () => {
    expect(formatUsd(rational(5n), rational(10n))).toBe('0.5');
    expect(formatUsd(rational(20n), rational(10n))).toBe('2');
    expect(formatUsd(rational(1n), rational(10n ** 18n))).toBe('0.000000000000000001');
    expect(formatUsd(rational(14n), rational(10n ** 19n))).toBe('0.000000000000000001');
  });
});
