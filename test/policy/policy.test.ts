import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import type { Authorization, Caller } from '../../src/auth/authorization.ts';
import { AuthError } from '../../src/auth/authorization.ts';
import { Grant } from '../../src/keys/grant.ts';
import { maxUint256 } from '../../src/pm/bytes.ts';
import { formatRational, rational, zero } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { expectedValue } from '../../src/pm/ticket.ts';
import { type PolicyOptions, createPolicy } from '../../src/policy/policy.ts';
import type { PaymentProposal } from '../../src/policy/proposal.ts';
import type { Money } from '../../src/pm/usd.ts';
import { requireWei } from '../../src/policy/exchange-rate.ts';
import { noRules } from './no-rules.ts';
import {
  books,
  caller,
  good,
  guardrails,
  never,
  now,
  randHash,
  roundHash,
} from './payment-proposals.ts';
import { fc } from '../support/fast-check.ts';

const sha256Hex = (text: string) => createHash('sha256').update(text).digest('hex');

function openPolicy(options: Partial<PolicyOptions> = {}) {
  return createPolicy({ guardrails, authorize: undefined, ...noRules, nowMs: () => 0, ...options });
}

describe('a payment that every guardrail allows', () => {
  it('gets its tickets, with the nonces that follow', async () => {
    const policy = openPolicy();
    const verdict = await policy.decidePayment(good, never);
    if (verdict.kind !== 'allow') throw new Error(verdict.refusal.code);
    expect(verdict.tickets.map(({ senderNonce }) => senderNonce)).toEqual([8, 9]);
    for (const ticket of verdict.tickets) {
      expect(ticket).toMatchObject({
        recipient: good.params.recipient,
        sender: good.sender,
        faceValue: good.params.faceValue,
        winProb: good.params.winProb,
        recipientRandHash: randHash,
        creationRound: { round: 3800n, blockHash: roundHash },
      });
    }
    expect(verdict.books).toMatchObject({
      pmSessionId: randHash,
      senderNonce: 9,
      balance: rational(5n),
      lastUpdate: now,
    });
  });

  it('gets grants for exactly its tickets, its credentials and its books', async () => {
    const policy = openPolicy();
    const verdict = await policy.decidePayment(good, never);
    if (verdict.kind !== 'allow') throw new Error(verdict.refusal.code);
    expect(policy.redeem(verdict.ticketBatch).intent).toEqual({
      kind: 'ticket-batch',
      tickets: verdict.tickets,
    });
    if (!(verdict.segmentCredentials instanceof Grant)) throw new Error('no grant');
    expect(policy.redeem(verdict.segmentCredentials).intent).toEqual({
      kind: 'segment-credentials',
      manifestId: 'mid1',
    });
    const seal = { kind: 'session-state', state: new Uint8Array(40) } as const;
    expect(policy.redeem(verdict.sealBooks(seal)).intent).toBe(seal);
    expect(() => policy.redeem(verdict.ticketBatch)).toThrow(
      expect.objectContaining({ code: 'GRANT_INVALID' }) as Error,
    );
  });
});

describe('segment credentials that the session carries', () => {
  const signature = new Uint8Array(65).fill(1);
  const carrying = (manifestIdHash: string): PaymentProposal => ({
    ...good,
    books: { ...books, segmentCredentials: { manifestIdHash, signature } },
  });

  it('need no grant for the same manifest id', async () => {
    const verdict = await openPolicy().decidePayment(carrying(sha256Hex('mid1')), never);
    expect(verdict).toMatchObject({ kind: 'allow', segmentCredentials: signature });
  });

  it.each(['mid2', 'mid', 'MID1', ''])(
    'are granted anew where they are those of "%s"',
    async (id) => {
      const policy = openPolicy();
      const verdict = await policy.decidePayment(carrying(sha256Hex(id)), never);
      if (verdict.kind !== 'allow') throw new Error(verdict.refusal.code);
      if (!(verdict.segmentCredentials instanceof Grant)) throw new Error('no grant');
      expect(policy.redeem(verdict.segmentCredentials).intent).toEqual({
        kind: 'segment-credentials',
        manifestId: 'mid1',
      });
    },
  );
});

type Change = (proposal: PaymentProposal) => PaymentProposal;

function withParams(changes: Partial<PaymentProposal['params']>): Change {
  return (proposal) => ({ ...proposal, params: { ...proposal.params, ...changes } });
}
function withChain(changes: Partial<PaymentProposal['chain']>): Change {
  return (proposal) => ({ ...proposal, chain: { ...proposal.chain, ...changes } });
}
function withCount(ticketCount: bigint): Change {
  return (proposal) => ({ ...proposal, quote: { ...proposal.quote, ticketCount } });
}
function withPrice(pricePerUnit: bigint, pixelsPerUnit = 1n): Change {
  return (proposal) => ({ ...proposal, price: { pricePerUnit, pixelsPerUnit } });
}
function inSession(change: Change): Change {
  return (proposal) => ({ ...change(proposal), isNewSession: false });
}

describe('the guardrails refuse', () => {
  const refused: readonly (readonly [string, string, Change])[] = [
    ['a price above the configured maximum', 'PRICE_ABOVE_CEILING', withPrice(1501n)],
    [
      'a price a little above it',
      'PRICE_ABOVE_CEILING',
      withPrice(1500n * 10n ** 9n + 1n, 10n ** 9n),
    ],
    [
      'a session’s first price above the configured maximum, whatever is asked for now',
      'PRICE_ABOVE_CEILING',
      inSession((proposal) => ({
        ...withPrice(1n)(proposal),
        books: { ...books, initialPrice: { pricePerUnit: 1501n, pixelsPerUnit: 1n } },
      })),
    ],
    ['a price above the session’s first', 'PRICE_ABOVE_CEILING', inSession(withPrice(1201n))],
    [
      'a price above the request’s maximum',
      'PRICE_ABOVE_CEILING',
      (proposal) => ({ ...proposal, requestMaxPrice: rational(1199n) }),
    ],
    ['no tickets', 'NO_TICKETS_DUE', withCount(0n)],
    ['one ticket too many', 'TICKET_COUNT_ABOVE_MAXIMUM', withCount(51n)],
    [
      '2^64 + 1 tickets, which a 64-bit count would take for 1',
      'TICKET_COUNT_ABOVE_MAXIMUM',
      withCount(2n ** 64n + 1n),
    ],
    ['a total EV above the maximum', 'TOTAL_EV_ABOVE_MAXIMUM', withCount(21n)],
    [
      'an EV above the maximum',
      'TICKET_EV_ABOVE_MAXIMUM',
      withParams({ faceValue: 4n * 10n ** 15n }),
    ],
    [
      'a ticket that wins for certain',
      'FACE_VALUE_TOO_LOW',
      withParams({ faceValue: 10n, winProb: maxUint256 }),
    ],
    [
      'a face value above the deposit',
      'FACE_VALUE_ABOVE_MAXIMUM',
      withChain({ deposit: 10n ** 15n - 1n }),
    ],
    [
      'a face value wider than 256 bits',
      'TICKET_PARAMS_MALFORMED',
      withParams({ faceValue: maxUint256 + 1n }),
    ],
    ['expired parameters', 'TICKET_PARAMS_EXPIRED', withParams({ expirationBlock: 901n })],
    ['an expiration block of 0', 'EXPIRATION_BLOCK_ZERO', withParams({ expirationBlock: 0n })],
    ['an empty deposit', 'DEPOSIT_EMPTY', withChain({ deposit: 0n })],
    ['an empty reserve', 'RESERVE_EMPTY', withChain({ reserve: 0n })],
    ['a sender that unlocks next round', 'SENDER_UNLOCKING', withChain({ withdrawRound: 3801n })],
    [
      'a manifest id of 104 bytes',
      'MANIFEST_ID_INVALID',
      (proposal) => ({ ...proposal, manifestId: 'm'.repeat(104) }),
    ],
    [
      'a manifest id of 168 bytes',
      'MANIFEST_ID_INVALID',
      (proposal) => ({ ...proposal, manifestId: 'm'.repeat(168) }),
    ],
  ];

  it.each(refused)('%s, as %s, without asking the webhook', async (_, code, change) => {
    const authorize = vi.fn(() => Promise.reject(new Error('asked')));
    const verdict = await openPolicy({ authorize }).decidePayment(change(good), never);
    expect(verdict).toMatchObject({ kind: 'deny', refusal: { code } });
    expect(authorize).not.toHaveBeenCalled();
  });

  const allowed: readonly (readonly [string, Change])[] = [
    ['a price at the configured maximum', withPrice(1500n)],
    ['a price at the session’s first', inSession(withPrice(1200n))],
    ['a price at the request’s maximum', (p) => ({ ...p, requestMaxPrice: rational(1200n) })],
    ['as much EV in all as is allowed', withCount(20n)],
    ['a face value of the whole deposit', withChain({ deposit: 10n ** 15n })],
    ['parameters two blocks before they expire', withParams({ expirationBlock: 902n })],
    ['a sender that unlocks in two rounds', withChain({ withdrawRound: 3802n })],
    ['a manifest id of 103 bytes', (p) => ({ ...p, manifestId: 'm'.repeat(103) })],
  ];

  it.each(allowed)('but not %s', async (_, change) => {
    expect(await openPolicy().decidePayment(change(good), never)).toMatchObject({ kind: 'allow' });
  });
});

/** How a fraction compares with another, by cross-multiplication. */
function isAbove(a: { numerator: bigint; denominator: bigint }, b: typeof a): boolean {
  return a.numerator * b.denominator > b.numerator * a.denominator;
}

/** Whether any guardrail is overstepped, told without the product's own checks. */
function overstepsAny(proposal: PaymentProposal, rails: PolicyOptions['guardrails']): boolean {
  const { params, chain, quote, price, books: session } = proposal;
  const quoted = { numerator: price.pricePerUnit, denominator: price.pixelsPerUnit };
  const first = {
    numerator: session.initialPrice.pricePerUnit,
    denominator: session.initialPrice.pixelsPerUnit,
  };
  const asked = isAbove(quoted, first) ? quoted : first;
  const { lv2v, live } = rails.prices.byType;
  const inWei = (amount: Money | undefined) => amount && requireWei(amount, chain.weiPerUsd);
  const ceilings = [
    inWei(proposal.type === '' ? (lv2v ?? live) : rails.prices.byType[proposal.type]),
    proposal.requestMaxPrice,
    proposal.isNewSession ? undefined : first,
  ];
  const evTimes = params.faceValue * params.winProb;
  const ev = { numerator: evTimes, denominator: maxUint256 };
  const total = { numerator: evTimes * quote.ticketCount, denominator: maxUint256 };
  const idLength = Buffer.byteLength(proposal.manifestId);
  return (
    ceilings.some((ceiling) => ceiling && isAbove(asked, ceiling)) ||
    quote.ticketCount < 1n ||
    quote.ticketCount > rails.maxTickets ||
    params.faceValue > maxUint256 ||
    params.winProb > maxUint256 ||
    params.expirationBlock === 0n ||
    params.expirationBlock < chain.l1Block + 2n ||
    (evTimes > 0n &&
      (params.winProb >= maxUint256 ||
        isAbove(ev, rails.limits.maxTicketEv) ||
        isAbove(total, rails.limits.maxTotalEv) ||
        chain.deposit === 0n ||
        chain.reserve === 0n ||
        (chain.withdrawRound > 0n && chain.withdrawRound <= chain.round + 1n) ||
        params.faceValue > chain.deposit / rails.limits.depositMultiplier)) ||
    idLength === 104 ||
    idLength === 168
  );
}

describe('decidePayment', () => {
  /** Mostly `usual`, now and then something else. */
  const mostly = <Value>(usual: Value, ...others: Value[]) =>
    fc.oneof(
      { weight: 12, arbitrary: fc.constant(usual) },
      { weight: 1, arbitrary: fc.constantFrom(...others) },
    );
  const near = (value: bigint, ...others: bigint[]) =>
    mostly(value, value - 1n, value + 1n, 0n, value * 2n, ...others);
  const anyProposal = fc
    .record({
      faceValue: near(10n ** 15n, 3n * 10n ** 15n, 4n * 10n ** 15n, maxUint256 + 1n),
      winProb: near(maxUint256 / 1000n, maxUint256, maxUint256 + 1n),
      expirationBlock: near(902n),
      deposit: near(10n ** 15n),
      reserve: mostly(1n, 0n),
      withdrawRound: mostly(0n, 3800n, 3801n, 3802n),
      ticketCount: near(20n, 1n, 50n, 51n, 2n ** 64n + 1n),
      pricePerUnit: near(1200n),
      requestMaxPrice: fc.option(
        near(1200n).map((wei) => rational(wei)),
        { nil: undefined },
      ),
      isNewSession: fc.boolean(),
      type: fc.constantFrom('lv2v' as const, 'live' as const, 'fixed' as const, '' as const),
      idLength: mostly(8, 0, 103, 104, 105, 167, 168, 169),
      maxTickets: mostly(50n, 1n, 19n, 20n, 100n),
      depositMultiplier: mostly(1n, 2n),
      ceiling: fc.option(
        near(1200n).map((wei) => rational(wei)),
        { nil: undefined },
      ),
    })
    .map((chosen) => {
      const rails: PolicyOptions['guardrails'] = {
        limits: { ...guardrails.limits, depositMultiplier: chosen.depositMultiplier },
        prices: { byType: { lv2v: chosen.ceiling, live: chosen.ceiling }, byCapability: [] },
        maxTickets: chosen.maxTickets,
        forks: 'count',
      };
      const { faceValue, winProb, expirationBlock } = chosen;
      const params = { ...good.params, faceValue, winProb, expirationBlock };
      const { deposit, reserve, withdrawRound } = chosen;
      const proposal: PaymentProposal = {
        ...good,
        params,
        chain: { ...good.chain, deposit, reserve, withdrawRound },
        quote: { ...good.quote, ticketCount: chosen.ticketCount, ev: expectedValue(params) },
        price: { pricePerUnit: chosen.pricePerUnit, pixelsPerUnit: 1n },
        requestMaxPrice: chosen.requestMaxPrice,
        isNewSession: chosen.isNewSession,
        type: chosen.type,
        manifestId: 'm'.repeat(chosen.idLength),
      };
      return { proposal, rails };
    });

  it('never allows a payment that any guardrail refuses, and refuses none without one', async () => {
    const seen = { allow: 0, deny: 0 };
    await fc.assert(
      fc.asyncProperty(anyProposal, async ({ proposal, rails }) => {
        const verdict = await openPolicy({ guardrails: rails }).decidePayment(proposal, never);
        seen[verdict.kind]++;
        expect(verdict.kind).toBe(overstepsAny(proposal, rails) ? 'deny' : 'allow');
        if (verdict.kind === 'allow') {
          expect(BigInt(verdict.tickets.length)).toBe(proposal.quote.ticketCount);
        }
      }),
      { numRuns: 5000 },
    );
    expect(seen.allow).toBeGreaterThan(500);
    expect(seen.deny).toBeGreaterThan(1000);
  });
});

describe('the webhook', () => {
  const yes: Authorization = { expiry: 0n, authId: '', maxPrice: undefined };
  const nowSeconds = now / 1_000_000_000n;
  const answering = (authorization: Partial<Authorization> = {}) =>
    vi.fn<NonNullable<PolicyOptions['authorize']>>(() =>
      Promise.resolve({ ...yes, ...authorization }),
    );

  function proposalWith(changes: Partial<SessionState>, by: Partial<Caller> = {}): PaymentProposal {
    return { ...good, books: { ...books, ...changes }, caller: { ...caller, ...by } };
  }

  it('is shown the books as they would become, and may be asked again when its answer has no expiry', async () => {
    const authorize = answering();
    await openPolicy({ authorize }).decidePayment(good, never);
    expect(authorize).toHaveBeenCalledTimes(1);
    expect(authorize.mock.calls[0]?.[1]).toMatchObject({
      senderNonce: 9,
      authId: '',
      authExpiry: 0n,
    });
    expect(formatRational(authorize.mock.calls[0]?.[1].balance ?? zero)).toBe('5');
  });

  it('is not asked again before its answer expires, by the same credential', async () => {
    const authorize = answering();
    const policy = openPolicy({ authorize });
    const remembered = { authExpiry: nowSeconds, credentialHash: 'c1' };
    await policy.decidePayment(proposalWith(remembered), never);
    expect(authorize).not.toHaveBeenCalled();
    await policy.decidePayment(proposalWith({ ...remembered, credentialHash: undefined }), never);
    expect(authorize).not.toHaveBeenCalled();
  });

  it('is asked again after its answer has expired, or by another credential', async () => {
    const authorize = answering();
    const policy = openPolicy({ authorize });
    await policy.decidePayment(
      proposalWith({ authExpiry: nowSeconds - 1n, credentialHash: 'c1' }),
      never,
    );
    expect(authorize).toHaveBeenCalledTimes(1);
    await policy.decidePayment(
      proposalWith({ authExpiry: nowSeconds + 60n, credentialHash: 'c2' }),
      never,
    );
    expect(authorize).toHaveBeenCalledTimes(2);
  });

  it('denies by throwing, and nothing is granted', async () => {
    const authorize = vi.fn(() =>
      Promise.reject(new AuthError('AUTH_WEBHOOK_FAILED', 'the auth webhook could not be asked')),
    );
    await expect(openPolicy({ authorize }).decidePayment(good, never)).rejects.toMatchObject({
      code: 'AUTH_WEBHOOK_FAILED',
    });
  });

  it('sets a ceiling that is kept', async () => {
    const maxPrice = (price: string) => ({ price, currency: 'wei', unit: '720p-pixel-seconds' });
    const decide = (price: string) =>
      openPolicy({ authorize: answering({ maxPrice: maxPrice(price) }) }).decidePayment(
        good,
        never,
      );
    expect(await decide('1200')).toMatchObject({ kind: 'allow' });
    expect(await decide('1199.999')).toMatchObject({
      kind: 'deny',
      refusal: { code: 'PRICE_ABOVE_CEILING' },
    });
    await expect(decide('0')).rejects.toMatchObject({ code: 'AUTH_WEBHOOK_ANSWER_INVALID' });
  });

  it('names who pays, which a session never changes', async () => {
    const decide = (changes: Partial<SessionState>, authId: string, by: Partial<Caller> = {}) =>
      openPolicy({ authorize: answering({ authId, expiry: 99n }) }).decidePayment(
        proposalWith(changes, by),
        never,
      );
    expect(await decide({}, 'tenant')).toMatchObject({
      books: { authId: 'tenant', authExpiry: 99n, credentialHash: 'c1' },
    });
    expect(await decide({ authId: 'tenant' }, 'tenant')).toMatchObject({ kind: 'allow' });
    expect(await decide({ authId: 'tenant' }, '')).toMatchObject({ books: { authId: 'tenant' } });
    expect(await decide({}, '', { authId: 'proxy' })).toMatchObject({ books: { authId: 'proxy' } });
    expect(await decide({}, 'tenant', { authId: 'proxy' })).toMatchObject({
      books: { authId: 'tenant' },
    });
    await expect(decide({ authId: 'tenant' }, 'other')).rejects.toMatchObject({
      code: 'AUTH_ID_CHANGED',
    });
    await expect(decide({ authId: 'tenant' }, '', { authId: 'proxy' })).rejects.toMatchObject({
      code: 'AUTH_ID_CHANGED',
    });
  });
});

describe('refuseParams', () => {
  const far = now / 1_000_000_000n + 3600n;
  const facts = { params: good.params, books, chain: good.chain, now };

  it('takes usable parameters', () => {
    expect(openPolicy().refuseParams(facts, far)).toBeUndefined();
  });

  it('asks for a new auth token in the old one’s last 180 seconds', () => {
    const policy = openPolicy();
    const nowSeconds = now / 1_000_000_000n;
    expect(policy.refuseParams(facts, nowSeconds + 180n)).toBeUndefined();
    expect(policy.refuseParams({ ...facts, now: now + 1n }, nowSeconds + 180n)).toMatchObject({
      code: 'AUTH_TOKEN_EXPIRING',
    });
  });

  it('asks for new parameters from nonce 500 on, of these parameters alone', () => {
    const policy = openPolicy();
    const at = (senderNonce: number, pmSessionId: string = randHash) =>
      policy.refuseParams({ ...facts, books: { ...books, senderNonce, pmSessionId } }, far)?.code;
    expect([at(499), at(500), at(599), at(500, roundHash)]).toEqual([
      undefined,
      'NONCES_USED_UP',
      'NONCES_USED_UP',
      undefined,
    ]);
  });
});

describe('ticketAllowance', () => {
  it('is what the total EV allows, up to the most tickets of a payment', () => {
    const policy = openPolicy();
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 17n }), (faceValue) => {
        const params = { ...good.params, faceValue };
        const allowance = policy.ticketAllowance(params);
        const fits = (count: bigint) =>
          !isAbove(
            { numerator: faceValue * params.winProb * count, denominator: maxUint256 },
            guardrails.limits.maxTotalEv,
          );
        expect(allowance <= 50n && fits(allowance)).toBe(true);
        expect(allowance === 50n || !fits(allowance + 1n)).toBe(true);
      }),
    );
  });
});
