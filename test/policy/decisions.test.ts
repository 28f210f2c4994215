import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/config/policy-file.ts';
import type { BrokerTransaction } from '../../src/keys/broker-transaction.ts';
import type { GrantReason } from '../../src/keys/grant.ts';
import { rational, zero } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { openEmbeddedLedger } from '../../src/policy/limits/embedded/embedded-ledger.ts';
import type { SpendLedger, WindowCharge } from '../../src/policy/limits/ledger.ts';
import { reserve, usageOf } from '../../src/policy/limits/reserve.ts';
import { payWithinWindows } from '../../src/policy/pay-within-windows.ts';
import { type Policy, type PolicyOptions, createPolicy } from '../../src/policy/policy.ts';
import {
  type ByocProposal,
  type PaymentProposal,
  factsOf,
  judgedPriceOf,
} from '../../src/policy/proposal.ts';
import { byocJobFacts } from '../../src/policy/rules/facts.ts';
import { noRules } from './no-rules.ts';
import { address, books, caller, good, guardrails, never, now } from './payment-proposals.ts';

let opened: { readonly folder: string; readonly ledger: Promise<SpendLedger> } | undefined;
afterEach(async () => {
  if (!opened) return;
  await (await opened.ledger).close();
  rmSync(opened.folder, { recursive: true });
  opened = undefined;
});

/** The ledger of a test, opened when it is needed. */
function openLedger(): Promise<SpendLedger> {
  if (!opened) {
    const folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-decisions-'));
    opened = { folder, ledger: openEmbeddedLedger({ folder, log: () => undefined }) };
  }
  return opened.ledger;
}
const usageIn = async (charge: WindowCharge) => (await openLedger()).usage([charge]);

function openPolicy(yaml?: string, options: Partial<PolicyOptions> = {}): Policy {
  const rules = yaml === undefined ? undefined : parsePolicy(yaml, 'policy.yaml');
  return createPolicy({
    guardrails,
    authorize: undefined,
    ...noRules,
    ...(rules && { rules: () => rules, ledger: openLedger }),
    nowMs: () => 0,
    ...options,
  });
}

const ann = { id: 'acme:ann', tenant: 'acme', attributes: {} };
const trace = {
  traceparent: undefined,
  traceId: 'f'.repeat(32),
  clientRequestId: 'client-1',
};
const annCalls = { ...caller, principal: ann, trace };
const dailyTickets = 'window: { per: tenant, every: 1d, tickets: 3 }';

/** What an allowed payment's grants say why they were given. */
async function reasonsOf(policy: Policy, proposal: PaymentProposal): Promise<GrantReason[]> {
  const verdict = await policy.decidePayment(proposal, never);
  if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
  const seal = verdict.sealBooks({ kind: 'session-state', state: new Uint8Array(40) });
  const credentials = verdict.segmentCredentials;
  if (credentials instanceof Uint8Array) throw new Error('no grant');
  return [verdict.ticketBatch, credentials, seal].map((grant) => policy.redeem(grant).reason);
}

describe('what is recorded of a payment', () => {
  const usual = {
    amounts: {
      evWei: '2000000000000',
      feeWei: '1000000000000',
      faceValueWei: '1000000000000000',
      tickets: '2',
      winProb: `0x${good.params.winProb.toString(16)}`,
      priceWei: '1200',
      initialPriceWei: '1200',
      sessionEvWei: '0',
    },
    subject: {
      session: 's1',
      sequence: '0',
      app: '',
      type: 'lv2v',
      orchestrator: address('1'),
      recipient: address('2'),
      manifestId: 'mid1',
      sessionSeconds: '0',
      newSession: 'true',
    },
    usage: {},
  };

  it('is the same in all of its grants, and everything that the decision saw', async () => {
    const policy = openPolicy(
      `default: deny
rules:
  - { id: paid, when: { tenant: [acme] }, then: allow }
  - { id: others, when: { tenant: [globex] }, then: deny }
  - { id: watch, mode: observe, then: deny }
  - { id: narrow, mode: observe, window: { per: all, every: 1h, tickets: 1 } }`,
    );
    const reasons = await reasonsOf(policy, {
      ...good,
      caller: annCalls,
      books: {
        ...books,
        sequenceNumber: 4n,
        app: 'studio',
        startedAt: now / 1_000_000_000n - 90n,
        spentEv: 55n,
        initialPrice: { pricePerUnit: 2401n, pixelsPerUnit: 2n },
        weiPerUsd: rational(7n, 2n),
      },
      chain: { ...good.chain, weiPerUsd: rational(11n, 3n) },
      now: now + 999_999_999n,
      quote: { ...good.quote, fee: rational(7n, 2n), ev: rational(10n, 3n) },
      price: { pricePerUnit: 2400n, pixelsPerUnit: 7n },
      isNewSession: false,
      isFork: true,
      models: [
        { capability: 35, model: 'noop' },
        { capability: 33, model: 'meta/llama' },
      ],
      usageLabels: { job: 'j-1' },
    });
    const [reason] = reasons;
    expect(reasons).toEqual([reason, reason, reason]);
    expect(reason).toStrictEqual({
      requestId: good.requestId,
      traceId: 'f'.repeat(32),
      clientRequestId: 'client-1',
      principal: 'acme:ann',
      tenant: 'acme',
      rules: ['paid', 'watch', 'narrow'],
      observed: ['watch', 'narrow'],
      amounts: {
        evWei: '7',
        feeWei: '4',
        faceValueWei: '1000000000000000',
        tickets: '2',
        winProb: usual.amounts.winProb,
        priceWei: '2400/7',
        initialPriceWei: '2401/2',
        sessionEvWei: '55',
        weiPerUsd: '11/3',
        weiPerUsdOfSession: '7/2',
      },
      subject: {
        session: 's1',
        sequence: '4',
        app: 'studio',
        type: 'lv2v',
        orchestrator: address('1'),
        recipient: address('2'),
        manifestId: 'mid1',
        sessionSeconds: '90',
        fork: 'true',
      },
      models: ['35/noop', '33/meta/llama'],
      usage: { job: 'j-1' },
    });
  });

  it('leaves out what there is none of', async () => {
    const [reason] = await reasonsOf(openPolicy(), good);
    expect(reason).toStrictEqual({
      requestId: good.requestId,
      traceId: undefined,
      clientRequestId: undefined,
      principal: '',
      tenant: '',
      rules: [],
      observed: [],
      ...usual,
    });
  });

  it('tells whole seconds of a session', async () => {
    const startedAt = now / 1_000_000_000n - 90n;
    const secondsAt = async (time: bigint): Promise<string | undefined> => {
      const proposal = { ...good, books: { ...books, startedAt }, now: time };
      const [reason] = await reasonsOf(openPolicy(), proposal);
      return reason?.subject?.['sessionSeconds'];
    };
    expect(await secondsAt(now - 1n)).toBe('89');
    expect(await secondsAt(now)).toBe('90');
  });

  it('tells one rate where the session goes by the one of now', async () => {
    const chain = { ...good.chain, weiPerUsd: rational(11n) };
    const [reason] = await reasonsOf(openPolicy(), { ...good, chain });
    expect(reason?.amounts).toEqual({ ...usual.amounts, weiPerUsd: '11' });
  });

  it.each([
    [0, undefined],
    [1, undefined],
    [16, undefined],
    [17, '17'],
    [64, '64'],
  ])('names 16 models at most, and how many more there were: of %i', async (count, told) => {
    const models = Array.from({ length: count }, (_, index) => ({
      capability: 35,
      model: `m${index}`,
    }));
    const [reason] = await reasonsOf(openPolicy(), { ...good, models });
    const names = models.slice(0, 16).map(({ model }) => `35/${model}`);
    expect(reason?.models).toEqual(count === 0 ? undefined : names);
    expect(reason?.subject?.['models']).toBe(told);
  });
});

describe('what the rules see of a payment', () => {
  it('is what its proposal says, the principal being the transport’s', () => {
    const session: Partial<SessionState> = {
      app: 'studio',
      startedAt: 77n,
      spentEv: 55n,
      weiPerUsd: rational(7n, 2n),
      initialPrice: { pricePerUnit: 5n, pixelsPerUnit: 1n },
    };
    const proposal: PaymentProposal = {
      ...good,
      caller: annCalls,
      books: { ...books, ...session },
      chain: { ...good.chain, weiPerUsd: rational(11n, 3n) },
      price: { pricePerUnit: 9n, pixelsPerUnit: 2n },
      models: [{ capability: 35, model: 'noop' }],
      isNewSession: false,
    };
    expect(factsOf(proposal)).toStrictEqual({
      kind: 'payment',
      principal: ann,
      app: 'studio',
      orchestrator: address('1'),
      recipient: address('2'),
      models: [{ capability: 35, model: 'noop' }],
      type: 'lv2v',
      price: rational(5n),
      ticketEv: good.quote.ev,
      faceValue: good.params.faceValue,
      tickets: 2n,
      session: { isNew: false, ev: 55n, startedAt: 77_000_000_000n },
      weiPerUsd: { ofSession: rational(7n, 2n), now: rational(11n, 3n) },
      now,
    });
    expect(judgedPriceOf({ ...proposal, price: { pricePerUnit: 11n, pixelsPerUnit: 2n } })).toEqual(
      rational(11n, 2n),
    );
    expect(factsOf(good).session).toEqual({ isNew: true, ev: 0n, startedAt: now });
  });

  it('is of a BYOC job who asks, what for and when, and one ticket', () => {
    const models = [{ capability: 37, model: 'upscaler' }];
    expect(byocJobFacts(ann, models, now)).toStrictEqual({
      kind: 'byocJob',
      principal: ann,
      app: '',
      orchestrator: undefined,
      recipient: undefined,
      models,
      type: undefined,
      price: zero,
      ticketEv: zero,
      faceValue: 0n,
      tickets: 1n,
      session: { isNew: false, ev: 0n, startedAt: now },
      weiPerUsd: { ofSession: undefined, now: undefined },
      now,
    });
  });
});

describe('a payment that is denied', () => {
  const none = { ruleId: undefined, principal: undefined, windows: undefined };
  const deny = async (policy: Policy, changes: Partial<PaymentProposal>) =>
    policy.decidePayment({ ...good, ...changes }, never);
  const price = (wei: bigint) => ({ price: { pricePerUnit: wei, pixelsPerUnit: 1n } });
  const count = (ticketCount: bigint) => ({ quote: { ...good.quote, ticketCount } });
  const above = (actual: bigint, maximum: bigint, source: string) => ({
    code: 'PRICE_ABOVE_CEILING',
    data: { actual: rational(actual), maximum: rational(maximum), source },
  });

  it.each<[Partial<PaymentProposal>, object]>([
    [price(1501n), above(1501n, 1500n, 'configured maximum price')],
    [{ requestMaxPrice: rational(1199n) }, above(1200n, 1199n, 'request maxPrice')],
    [{ ...price(1300n), isNewSession: false }, above(1300n, 1200n, 'initial session price')],
    [
      { ...price(1300n), isNewSession: false, isTypeNew: true },
      above(1300n, 1200n, 'initial session price'),
    ],
    [{ ...price(1n), requestMaxPrice: rational(1199n) }, above(1200n, 1199n, 'request maxPrice')],
    [count(0n), { code: 'NO_TICKETS_DUE', data: {} }],
    [count(51n), { code: 'TICKET_COUNT_ABOVE_MAXIMUM', data: { actual: 51n, maximum: 50n } }],
    [{ manifestId: 'm'.repeat(104) }, { code: 'MANIFEST_ID_INVALID', data: { length: 104 } }],
  ])('is so with what was too much, and of which maximum: %#', async (changes, refusal) => {
    const raised = {
      ...guardrails,
      limits: { ...guardrails.limits, maxTotalEv: rational(10n ** 18n) },
    };
    expect(await deny(openPolicy(undefined, { guardrails: raised }), changes)).toStrictEqual({
      kind: 'deny',
      refusal,
      ...none,
    });
  });

  it('is one of a used state where forks are denied, and only then', async () => {
    const strict = openPolicy(undefined, { guardrails: { ...guardrails, forks: 'deny' } });
    expect(await deny(strict, { isFork: true })).toStrictEqual({
      kind: 'deny',
      refusal: { code: 'STATE_FORKED', data: {} },
      ...none,
    });
    expect((await deny(strict, { isFork: false })).kind).toBe('allow');
    expect((await deny(openPolicy(), { isFork: true })).kind).toBe('allow');
  });

  it('is one of another principal’s session', async () => {
    const session = { ...books, principal: 'acme:bob' };
    await expect(deny(openPolicy(), { books: session, caller: annCalls })).rejects.toMatchObject({
      code: 'CREDENTIAL_NOT_PERMITTED',
    });
    const own = { ...books, principal: 'acme:ann' };
    expect((await deny(openPolicy(), { books: own, caller: annCalls })).kind).toBe('allow');
  });

  it('is one above the webhook’s ceiling, with who asked', async () => {
    const maxPrice = { price: '1199', currency: 'wei', unit: '720p-pixel-seconds' };
    const authorize = () => Promise.resolve({ expiry: 0n, authId: 'x', maxPrice });
    const policy = openPolicy(undefined, { authorize });
    expect(await deny(policy, { caller: annCalls })).toStrictEqual({
      kind: 'deny',
      refusal: above(1200n, 1199n, 'auth webhook maxPrice'),
      ruleId: undefined,
      principal: ann,
      windows: undefined,
    });
  });

  it('is so by a rule, with its id, whoever pays it being known by then', async () => {
    const policy = openPolicy('default: allow\nrules: [{ id: no, then: deny }]');
    const refusal = { code: 'RULE_DENIED', data: { ruleId: 'no' } };
    expect(await deny(policy, { caller: annCalls })).toStrictEqual({
      kind: 'deny',
      refusal,
      ruleId: 'no',
      principal: ann,
      windows: undefined,
    });
    const named = { ...caller, authId: 'acme:carl' };
    expect(await deny(policy, { caller: named })).toMatchObject({
      principal: { id: 'acme:carl', tenant: 'acme' },
    });
  });

  it('is so by a window, with what was spent in all of them before', async () => {
    const policy = openPolicy(
      `default: allow
rules:
  - { id: slow, window: { per: all, every: 1h, ev: 1 ether } }
  - { id: day, ${dailyTickets} }`,
    );
    const proposal = { caller: annCalls };
    expect((await deny(policy, proposal)).kind).toBe('allow');
    const verdict = await deny(policy, proposal);
    const spent = { ev: 2n * 10n ** 12n, tickets: 2n, sessions: 1n };
    const windows = [
      {
        charge: {
          ruleId: 'slow',
          scope: '',
          windowMs: 3_600_000,
          limits: { ev: 10n ** 18n },
          isEnforced: true,
        },
        spent,
      },
      {
        charge: {
          ruleId: 'day',
          scope: 'tenant=acme',
          windowMs: 86_400_000,
          limits: { tickets: 3n },
          isEnforced: true,
        },
        spent,
      },
    ];
    expect(verdict).toStrictEqual({
      kind: 'deny',
      refusal: {
        code: 'WINDOW_EXHAUSTED',
        data: {
          ruleId: 'day',
          limit: 'tickets',
          maximum: 3n,
          windowMs: 86_400_000,
          scope: 'tenant=acme',
          retryAfterSeconds: expect.any(Number) as number,
        },
      },
      ruleId: 'day',
      principal: ann,
      windows,
    });
  });

  it('is so by what its session has spent, or may have', async () => {
    const policy = openPolicy(
      'default: allow\nrules: [{ id: short, limit: { sessionEv: 3000000000000 wei } }]',
    );
    const session = { ...books, stateId: 'spent', lastUpdate: now };
    const pay = (changes: Partial<PaymentProposal> = {}) =>
      deny(policy, { books: session, isNewSession: false, caller: annCalls, ...changes });
    expect((await pay()).kind).toBe('allow');
    const short = { kind: 'deny', ruleId: 'short', principal: ann, windows: undefined };
    expect(await pay()).toStrictEqual({
      ...short,
      refusal: {
        code: 'RULE_LIMIT_EXCEEDED',
        data: {
          ruleId: 'short',
          limit: 'sessionEv',
          actual: 4n * 10n ** 12n,
          maximum: 3n * 10n ** 12n,
        },
      },
    });
    const dayLater = now + 86_400_000_000_001n;
    expect(await pay({ now: dayLater })).toStrictEqual({
      ...short,
      refusal: {
        code: 'RULE_LIMIT_EXCEEDED',
        data: { ruleId: 'short', limit: 'sessionIdle', maximumMs: 86_400_000 },
      },
    });
    // without a ledger the state alone is gone by
    const alone = openPolicy(
      'default: allow\nrules: [{ id: short, limit: { sessionEv: 3000000000000 wei } }]',
      { ledger: undefined },
    );
    const again = { books: session, isNewSession: false, now: dayLater };
    expect((await deny(alone, again)).kind).toBe('allow');
  });
});

describe('a payment that is allowed', () => {
  const yaml = `default: allow
rules:
  - { id: watch, mode: observe, then: deny }
  - { id: day, ${dailyTickets} }
  - { id: full, mode: observe, window: { per: all, every: 1h, tickets: 0 } }`;
  const day: WindowCharge = {
    ruleId: 'day',
    scope: 'tenant=acme',
    windowMs: 86_400_000,
    limits: {},
    isEnforced: true,
  };

  it.each([
    [
      { ticketCalls: 0, otherCalls: 0 },
      { ev: 0n, tickets: 0n, sessions: 0n },
    ],
    [
      { ticketCalls: 0, otherCalls: 1 },
      { ev: 0n, tickets: 0n, sessions: 1n },
    ],
    [
      { ticketCalls: 1, otherCalls: 0 },
      { ev: 10n ** 12n, tickets: 1n, sessions: 1n },
    ],
    [
      { ticketCalls: 2, otherCalls: 2 },
      { ev: 2n * 10n ** 12n, tickets: 2n, sessions: 1n },
    ],
  ])('and comes to nothing counts for what the key was asked for: %#', async (use, left) => {
    const verdict = await openPolicy(yaml).decidePayment({ ...good, caller: annCalls }, never);
    if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
    expect(verdict).toMatchObject({
      principal: ann,
      ev: 2n * 10n ** 12n,
      rules: ['watch', 'day', 'full'],
      observed: ['watch', 'full'],
    });
    expect(verdict.quote).toBe(good.quote);
    expect(await usageIn(day)).toEqual([{ ev: 2n * 10n ** 12n, tickets: 2n, sessions: 1n }]);
    await verdict.release(use);
    expect(await usageIn(day)).toEqual([left]);
  });

  it('has books with all that the payment changes', async () => {
    const chain = { ...good.chain, weiPerUsd: rational(11n, 3n) };
    const verdict = await openPolicy().decidePayment({ ...good, chain, caller: annCalls }, never);
    expect(verdict).toMatchObject({ kind: 'allow' });
    expect('books' in verdict && verdict.books).toEqual({
      ...books,
      pmSessionId: good.params.recipientRandHash,
      lastUpdate: now,
      senderNonce: 9,
      balance: rational(5n),
      startedAt: now / 1_000_000_000n,
      spentEv: 2n * 10n ** 12n,
      weiPerUsd: rational(11n, 3n),
      authId: 'acme:acme:ann',
      principal: 'acme:ann',
    });
  });

  it('whose type is new asks the webhook, whatever was granted before', async () => {
    const granted = { ...books, authExpiry: now, credentialHash: 'c1' };
    const asked: string[] = [];
    const authorize: PolicyOptions['authorize'] = ({ principal }) => {
      asked.push(principal.id);
      return Promise.resolve({ expiry: 0n, authId: '', maxPrice: undefined });
    };
    const policy = openPolicy(undefined, { authorize });
    const pay = (isTypeNew: boolean) =>
      policy.decidePayment({ ...good, books: granted, isTypeNew }, never);
    expect((await pay(false)).kind).toBe('allow');
    expect(asked).toEqual([]);
    expect((await pay(true)).kind).toBe('allow');
    expect(asked).toEqual(['']);
  });
});

describe('a BYOC job', () => {
  const job = {
    id: 'job-1',
    capability: 'upscaler',
    request: 'r',
    parameters: '',
    timeoutSeconds: 300,
  };
  const proposal: ByocProposal = { requestId: 'request-1', caller: annCalls, job, now };
  const yaml = `default: deny
rules:
  - { id: may, when: { tenant: [acme], capability: [byoc/upscaler] }, then: allow }
  - { id: watch, mode: observe, then: deny }
  - { id: full, mode: observe, window: { per: all, every: 1h, tickets: 0 } }
  - { id: day, window: { per: tenant, every: 1d, tickets: 1 } }`;
  const day: WindowCharge = {
    ruleId: 'day',
    scope: 'tenant=acme',
    windowMs: 86_400_000,
    limits: { tickets: 1n },
    isEnforced: true,
  };

  it('is allowed with a grant for it alone, and the record of why', async () => {
    const policy = openPolicy(yaml);
    const verdict = await policy.decideByocJob(proposal, never);
    if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
    const { grant, ...others } = verdict;
    expect(others).toStrictEqual({
      kind: 'allow',
      release: expect.any(Function) as unknown,
      principal: ann,
      rules: ['may', 'watch', 'full', 'day'],
      observed: ['watch', 'full'],
    });
    expect(policy.redeem(grant)).toStrictEqual({
      intent: { kind: 'byoc-job', job },
      reason: {
        requestId: 'request-1',
        traceId: 'f'.repeat(32),
        clientRequestId: 'client-1',
        principal: 'acme:ann',
        tenant: 'acme',
        rules: ['may', 'watch', 'full', 'day'],
        observed: ['watch', 'full'],
        amounts: { timeoutSeconds: '300' },
        subject: { job: 'job-1', capability: 'upscaler' },
      },
    });
    expect(await usageIn(day)).toEqual([{ ev: 0n, tickets: 1n, sessions: 0n }]);
    expect(await policy.decideByocJob(proposal, never)).toStrictEqual({
      kind: 'deny',
      refusal: {
        code: 'WINDOW_EXHAUSTED',
        data: {
          ruleId: 'day',
          limit: 'tickets',
          maximum: 1n,
          windowMs: 86_400_000,
          scope: 'tenant=acme',
          retryAfterSeconds: expect.any(Number) as number,
        },
      },
      ruleId: 'day',
      principal: ann,
      windows: [
        {
          charge: {
            ruleId: 'full',
            scope: '',
            windowMs: 3_600_000,
            limits: { tickets: 0n },
            isEnforced: false,
          },
          spent: { ev: 0n, tickets: 1n, sessions: 0n },
        },
        { charge: day, spent: { ev: 0n, tickets: 1n, sessions: 0n } },
      ],
    });
    await verdict.release();
    expect(await usageIn(day)).toEqual([{ ev: 0n, tickets: 0n, sessions: 0n }]);
  });

  it('is that of whom a trusted proxy names, and recorded without what nobody told', async () => {
    const policy = openPolicy(yaml);
    const named = { ...proposal, caller: { ...caller, authId: 'acme:carl' } };
    const verdict = await policy.decideByocJob(named, never);
    if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
    expect(verdict.principal).toEqual({ id: 'acme:carl', tenant: 'acme', attributes: {} });
    expect(policy.redeem(verdict.grant).reason).toMatchObject({
      traceId: undefined,
      clientRequestId: undefined,
      principal: 'acme:carl',
    });
  });

  it.each([
    [
      { ...job, capability: 'painter' },
      { code: 'NO_RULE_ALLOWS', data: { kind: 'byocJob' } },
    ],
    [
      { ...job, request: 'r'.repeat(168 - 16 - 4 - 16 - 5 - 8) },
      { code: 'BYOC_JOB_INVALID', data: { length: 168 } },
    ],
  ])('is denied with why, and whom: %#', async (asked, refusal) => {
    const verdict = await openPolicy(yaml).decideByocJob({ ...proposal, job: asked }, never);
    expect(verdict).toStrictEqual({
      kind: 'deny',
      refusal,
      ruleId: undefined,
      principal: ann,
      windows: undefined,
    });
  });

  it('is denied by the rule that says so', async () => {
    const policy = openPolicy(
      'default: allow\nrules: [{ id: no, when: { capability: [byoc/upscaler] }, then: deny }]',
    );
    expect(await policy.decideByocJob(proposal, never)).toMatchObject({
      refusal: { code: 'RULE_DENIED', data: { ruleId: 'no' } },
      ruleId: 'no',
    });
  });
});

describe('a payment for time, of a session that owes much', () => {
  const owing = (changes: Partial<PaymentProposal> = {}): PaymentProposal => ({
    ...good,
    isNewSession: false,
    caller: annCalls,
    quote: { ...good.quote, ticketCount: 20n, balance: rational(7n) },
    ...changes,
  });
  const policyOf = (...rules: string[]) => {
    const items = rules.map((rule, index) => `{ id: r${index}, ${rule} }`);
    return parsePolicy(`default: allow\nrules: [${items.join(', ')}]`, 'policy.yaml');
  };
  const window = (limits: string) => `window: { per: tenant, every: 1h, ${limits} }`;
  const ofAcme = `when: { tenant: [acme] }, ${window('tickets: 5')}`;

  it.each<[string, readonly string[], bigint, Partial<PaymentProposal>, bigint]>([
    ['as many tickets as its window holds', [window('tickets: 5')], 50n, {}, 5n],
    ['as much as its window holds', [window('ev: 6999999999999 wei')], 50n, {}, 6n],
    ['the least of several', [window('tickets: 9'), window('ev: 7000000000000 wei')], 50n, {}, 7n],
    [
      'the least of several, in any order',
      [window('ev: 7000000000000 wei'), window('tickets: 9')],
      50n,
      {},
      7n,
    ],
    ['the least of one', [window('ev: 8000000000000 wei, tickets: 3')], 50n, {}, 3n],
    ['one ticket', [window('tickets: 1')], 50n, {}, 1n],
    ['what one payment may hold', [window('tickets: 9')], 4n, {}, 4n],
    ['what it owes, where there is room', [window('tickets: 20')], 50n, {}, 20n],
    ['what it owes, where there is no window', [], 50n, {}, 20n],
    [
      'what it owes, where a whole window has no ticket for it',
      [window('tickets: 0')],
      50n,
      {},
      20n,
    ],
    ['what it owes, where a whole window is too small', [window('ev: 1 wei')], 50n, {}, 20n],
    ['what it owes, where its window counts sessions', [window('sessions: 1')], 50n, {}, 20n],
    [
      'what it owes, where its window is watched',
      [`mode: observe, ${window('tickets: 5')}`],
      50n,
      {},
      20n,
    ],
    [
      'what it owes, of another tenant',
      [`when: { tenant: [globex] }, ${window('tickets: 5')}`],
      4n,
      {},
      20n,
    ],
    [
      'what it owes, as upstream does',
      [window('tickets: 5')],
      50n,
      { billingRule: 'upstream' },
      20n,
    ],
    ['what it owes, at its beginning', [window('tickets: 5')], 50n, { isNewSession: true }, 20n],
    [
      'what it owes, where it is not billed by time',
      [window('tickets: 5')],
      50n,
      { type: 'fixed' },
      20n,
    ],
    ['as many, of type live', [window('tickets: 5')], 50n, { type: 'live' }, 5n],
    [
      'as many, for whom a proxy names',
      [ofAcme],
      50n,
      { caller: { ...caller, authId: 'acme:x' } },
      5n,
    ],
    [
      'as many, for whom its state names',
      [ofAcme],
      50n,
      { caller, books: { ...books, authId: 'acme:x' } },
      5n,
    ],
    [
      'what it owes, for whom a proxy names, whatever its state says',
      [ofAcme],
      50n,
      { caller: { ...caller, authId: 'globex:x' }, books: { ...books, authId: 'acme:x' } },
      20n,
    ],
    ['what it owes, for nobody', [ofAcme], 50n, { caller }, 20n],
  ])('pays %s', (_, rules, allowance, changes, tickets) => {
    const proposal = owing(changes);
    const paid = payWithinWindows(proposal, policyOf(...rules), allowance);
    if (tickets === 20n) {
      expect(paid).toBe(proposal);
      return;
    }
    const unpaid = (20n - tickets) * 10n ** 12n;
    expect(paid).toEqual({
      ...proposal,
      quote: { ...proposal.quote, ticketCount: tickets, balance: rational(7n - unpaid) },
    });
  });

  it('pays by tickets alone where these are worth nothing', () => {
    const worthless = owing({ quote: { ...owing().quote, ev: zero } });
    const paid = payWithinWindows(worthless, policyOf(window('ev: 1 wei, tickets: 5')), 50n);
    expect(paid.quote.ticketCount).toBe(5n);
  });
});

describe('a transaction', () => {
  const transaction: BrokerTransaction = {
    chainId: 42_161,
    broker: address('5'),
    nonce: 1,
    gasLimit: 100_000n,
    maxFeePerGas: 10n,
    maxPriorityFeePerGas: 1n,
    call: { name: 'fundDeposit', deposit: 5n },
  };
  const transactions = { chainId: 42_161, broker: address('5'), maxFee: 1_000_000n };
  const decide = (changes: Partial<BrokerTransaction>, rules: typeof transactions | undefined) =>
    openPolicy(undefined, { transactions: rules }).decideTransaction({
      ...transaction,
      ...changes,
    });

  it('that costs no more than it may is granted, on record', () => {
    const policy = openPolicy(undefined, { transactions });
    const verdict = policy.decideTransaction(transaction);
    if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
    expect(policy.redeem(verdict.grant)).toStrictEqual({
      intent: { kind: 'broker-transaction', transaction },
      reason: {
        amounts: { maxFeeWei: '1000000' },
        subject: { function: 'fundDeposit', broker: address('5'), chainId: '42161' },
      },
    });
  });

  it.each<[string, Partial<BrokerTransaction>, typeof transactions | undefined, object]>([
    [
      'where none is signed',
      {},
      undefined,
      { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'transaction' } },
    ],
    [
      'for another chain',
      { chainId: 1 },
      transactions,
      {
        code: 'TRANSACTION_NOT_ALLOWED',
        data: { field: 'chainId', actual: 1, expected: 42_161 },
      },
    ],
    [
      'to another contract',
      { broker: address('6') },
      transactions,
      {
        code: 'TRANSACTION_NOT_ALLOWED',
        data: { field: 'broker', actual: address('6'), expected: address('5') },
      },
    ],
    [
      'of another function',
      { call: { name: 'redeemWinningTicket' } as never },
      transactions,
      { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'function' } },
    ],
    [
      'of a function that every object has',
      { call: { name: 'toString' } as never },
      transactions,
      { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'function' } },
    ],
    [
      'that costs more than it may',
      { gasLimit: 100_001n },
      transactions,
      {
        code: 'TRANSACTION_FEE_ABOVE_MAXIMUM',
        data: { actual: 1_000_010n, maximum: 1_000_000n },
      },
    ],
  ])('%s is denied', (_, changes, rules, refusal) => {
    expect(decide(changes, rules)).toStrictEqual({ kind: 'deny', refusal });
  });
});

describe('where there is no ledger', () => {
  const charge: WindowCharge = {
    ruleId: 'day',
    scope: '',
    windowMs: 1_000,
    limits: {},
    isEnforced: true,
  };
  const spend = { ev: 1n, tickets: 1n, sessions: 0n };
  const session = { id: 'a-session', spentEv: 0n, limits: [] };

  it('what nothing counts is reserved, and given back, without one', async () => {
    const failing = () => Promise.reject(new Error('nobody asks'));
    const outcome = await reserve(failing, [], spend, never);
    if (outcome.kind !== 'reserved') throw new Error('not reserved');
    expect(outcome.observed).toEqual([]);
    await expect(outcome.release()).resolves.toBeUndefined();
  });

  it('what a window or a session counts is not', async () => {
    const mistaken = expect.objectContaining({
      name: 'InternalError',
      code: 'INTERNAL',
      message: 'there are windows, and no spend ledger',
    }) as Error;
    await expect(reserve(undefined, [charge], spend, never)).rejects.toThrow(mistaken);
    await expect(reserve(undefined, [], spend, never, session)).rejects.toThrow(mistaken);
  });

  it('nobody can tell what was spent', async () => {
    expect(await usageOf(undefined, [charge])).toBeUndefined();
    expect(await usageOf(undefined, [])).toBeUndefined();
    expect(await usageOf(() => Promise.reject(new Error('gone')), [charge])).toBeUndefined();
    const ledger = await openLedger();
    await ledger.reserve([charge], spend, never);
    expect(await usageOf(openLedger, [charge])).toEqual([{ charge, spent: spend }]);
    const forgetful = { ...ledger, usage: () => Promise.resolve([]) };
    expect(await usageOf(() => Promise.resolve(forgetful), [charge])).toEqual([]);
  });
});

it('what the signer signs of its own accord is granted once, for nobody', () => {
  const policy = openPolicy();
  const intent = { kind: 'self-test', sender: address('3') } as const;
  const grant = policy.grantOwn(intent);
  expect(policy.redeem(grant)).toStrictEqual({ intent, reason: {} });
  expect(() => policy.redeem(grant)).toThrow(
    expect.objectContaining({ code: 'GRANT_INVALID' }) as Error,
  );
});
