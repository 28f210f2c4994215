import { describe, expect, it } from 'vitest';
import { bytes32FromBytes } from '../../src/pm/bytes.ts';
import { lastNonceUsed, refuseUsedUpNonces } from '../../src/pm/nonces.ts';
import { drawUpTickets } from '../../src/pm/tickets.ts';
import { addressFromBytes } from '../../src/pm/bytes.ts';

const hash = bytes32FromBytes(Uint8Array.of(1));
const otherHash = bytes32FromBytes(Uint8Array.of(2));

describe('nonces', () => {
  it.each([0, 1, 499])('may go on from %i', (lastNonce) => {
    expect(refuseUsedUpNonces(lastNonce)).toBeUndefined();
  });

  it.each([500, 501, 599, 600, 4_294_967_295])('are used up at %i', (lastNonce) => {
    expect(refuseUsedUpNonces(lastNonce)).toEqual({
      code: 'NONCES_USED_UP',
      data: { nonce: lastNonce },
    });
  });

  it('go on from the last one under the same recipientRandHash, and start again under another', () => {
    expect(lastNonceUsed({ pmSessionId: hash, senderNonce: 41 }, hash)).toBe(41);
    expect(lastNonceUsed({ pmSessionId: hash, senderNonce: 41 }, otherHash)).toBe(0);
    expect(lastNonceUsed({ pmSessionId: '', senderNonce: 41 }, hash)).toBe(0);
  });

  it('start at 1, and never reach 600 when 100 tickets follow nonce 499', () => {
    const params = {
      recipient: addressFromBytes(Uint8Array.of(3)),
      faceValue: 1n,
      winProb: 1n,
      recipientRandHash: hash,
      seed: 0n,
      expirationBlock: 1n,
      creationRound: undefined,
    };
    const round = { round: 1n, blockHash: hash };
    const sender = addressFromBytes(Uint8Array.of(4));
    const noncesAfter = (lastNonce: number, count: number) =>
      drawUpTickets(params, sender, round, lastNonce, count).map(({ senderNonce }) => senderNonce);
    expect(noncesAfter(0, 3)).toEqual([1, 2, 3]);
    expect(noncesAfter(499, 100).at(0)).toBe(500);
    expect(noncesAfter(499, 100).at(-1)).toBe(599);
    expect(noncesAfter(7, 0)).toEqual([]);
  });
});
