import { describe, expect, it } from 'vitest';
import type { Caller } from '../../src/auth/authorization.ts';
import { demandNonces, nonceLifetimeMs, requireNonces } from '../../src/payments/ticket-nonces.ts';
import { addressFromBytes } from '../../src/pm/bytes.ts';

it.each([
  [40n, 720_000],
  [2n, 600_000],
  [100n, 1_800_000],
  [4_800n, 86_400_000],
  [2n ** 256n, 86_400_000],
])('nonces of parameters that expire in %s blocks are remembered for %s ms', (blocks, ms) => {
  expect(nonceLifetimeMs(21_000_000n + blocks, 21_000_000n)).toBe(ms);
});

describe('the nonces that a payment asks for', () => {
  const sender = addressFromBytes(Uint8Array.of(1));
  const caller: Caller = {
    headers: new Map(),
    authId: '',
    credentialHash: '',
    principal: { id: '', tenant: '', attributes: {} },
  };
  const demand = (ticketCount: bigint, of = sender, recipientRandHash = `0x${'ab'.repeat(32)}`) =>
    demandNonces(of, caller, {
      params: { recipientRandHash, expirationBlock: 140n },
      books: { authId: 'acme:alice' },
      chain: { l1Block: 100n },
      quote: { ticketCount, lastNonce: 7 },
    } as unknown as Parameters<typeof demandNonces>[2]);

  it('are those of its tickets, for as long as these live, in the name of who pays', () => {
    expect(demand(2n)).toEqual({
      ticketSession: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      count: 2,
      after: 7,
      limit: 500,
      lifetimeMs: 720_000,
      holder: 'tenant:acme',
    });
    const sessions = [
      demand(2n),
      demand(1n),
      demand(2n, addressFromBytes(Uint8Array.of(2))),
      demand(2n, sender, `0x${'cd'.repeat(32)}`),
    ].map((each) => each?.ticketSession);
    expect(new Set(sessions).size).toBe(3);
  });

  it.each([
    [0n, undefined],
    [1n, 1],
    [100n, 100],
    [101n, 100],
    [2n ** 64n, 100],
  ])('are as many as its tickets, and as one payment may hold, for %s', (tickets, count) => {
    expect(demand(tickets)?.count).toBe(count);
  });

  it('come after the last one, or are refused', () => {
    const url = 'https://127.0.0.1:1';
    expect(requireNonces({ kind: 'taken', lastNonce: 7, isFirst: false }, url)).toBe(7);
    expect(() => requireNonces({ kind: 'used-up', lastNonce: 500 }, url)).toThrow(
      expect.objectContaining({ code: 'NONCES_USED_UP', orchestratorUrl: url }) as Error,
    );
    expect(() => requireNonces({ kind: 'no-room' }, url)).toThrow(
      expect.objectContaining({ code: 'NONCES_WITHOUT_ROOM', retryable: true }) as Error,
    );
  });
});
