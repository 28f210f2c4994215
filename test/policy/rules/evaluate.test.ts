import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/config/policy-file.ts';
import { describeRefusal } from '../../../src/policy/describe-refusal.ts';
import type { CompiledPolicy } from '../../../src/policy/rules/compile.ts';
import { emptyPolicy } from '../../../src/policy/rules/compile.ts';
import {
  type RuleVerdict,
  evaluateRules,
  refuseExhausted,
} from '../../../src/policy/rules/evaluate.ts';
import { type PaymentFacts, byocJobFacts, spendOf } from '../../../src/policy/rules/facts.ts';
import { addressOf, paymentFacts, principalOf, wei } from './payment-facts.ts';

/** A policy with these rules, each in YAML's flow style; they are called r0, r1 … */
function policy(fallback: 'allow' | 'deny', ...rules: string[]): CompiledPolicy {
  const items = rules.map((rule, index) => `{ id: r${index}, ${rule} }`);
  return parsePolicy(`default: ${fallback}\nrules: [${items.join(', ')}]`, 'policy.yaml');
}

/** The verdict in short: `allow`, or the refusal's code and the rule it comes from. */
function verdictOf(rules: CompiledPolicy, facts: PaymentFacts): string {
  const verdict = evaluateRules(rules, facts);
  if (verdict.kind === 'allow') return 'allow';
  return [verdict.refusal.code, verdict.ruleId].filter(Boolean).join(' by ');
}

function messageOf(verdict: RuleVerdict): string | undefined {
  return verdict.kind === 'deny' ? describeRefusal(verdict.refusal) : undefined;
}

const session = (ev: bigint, startedAt: bigint) => ({ isNew: false, ev, startedAt });
const hours = 3_600_000_000_000n;
const { now } = paymentFacts();

describe('allow and deny', () => {
  it('everything is allowed without a policy file', () => {
    expect(evaluateRules(emptyPolicy, paymentFacts())).toEqual({
      kind: 'allow',
      matched: [],
      observed: [],
      charges: [],
    });
  });

  it.each([
    { rules: policy('allow'), says: 'allow' },
    { rules: policy('deny'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('deny', 'then: allow'), says: 'allow' },
    { rules: policy('deny', 'then: allow, when: { tenant: [globex] }'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('allow', 'then: deny'), says: 'RULE_DENIED by r0' },
    { rules: policy('allow', 'then: deny, when: { tenant: [globex] }'), says: 'allow' },
    { rules: policy('deny', 'then: allow', 'then: deny'), says: 'RULE_DENIED by r1' },
    { rules: policy('deny', 'then: deny', 'then: allow'), says: 'RULE_DENIED by r0' },
    { rules: policy('allow', 'then: deny', 'then: deny'), says: 'RULE_DENIED by r0' },
    { rules: policy('deny', 'then: deny'), says: 'RULE_DENIED by r0' },
    { rules: policy('deny', 'limit: { tickets: 5 }'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('deny', 'limit: { tickets: 0 }'), says: 'NO_RULE_ALLOWS' },
    {
      rules: policy('deny', 'window: { per: all, every: 1h, ev: 1 ether }'),
      says: 'NO_RULE_ALLOWS',
    },
    { rules: policy('deny', 'then: allow, mode: observe'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('allow', 'limit: { tickets: 0 }', 'then: deny'), says: 'RULE_DENIED by r1' },
  ])('$rules.default, $rules.rules.length rules: $says', ({ rules, says }) => {
    expect(verdictOf(rules, paymentFacts())).toBe(says);
  });

  it('a denial tells its code, its rule, and nothing of other rules', () => {
    const rules = policy('deny', 'then: allow', 'then: deny, when: { app: [studio] }');
    expect(evaluateRules(rules, paymentFacts())).toEqual({
      kind: 'deny',
      ruleId: 'r1',
      refusal: { code: 'RULE_DENIED', data: { ruleId: 'r1' } },
      matched: ['r0', 'r1'],
      observed: [],
    });
    expect(evaluateRules(policy('deny'), paymentFacts())).toMatchObject({
      ruleId: undefined,
      refusal: { code: 'NO_RULE_ALLOWS', data: {} },
    });
  });
});

describe('conditions', () => {
  const isMatch = (when: string, parts: Partial<PaymentFacts>): boolean =>
    evaluateRules(policy('allow', `then: deny, when: { ${when} }`), paymentFacts(parts)).kind ===
    'deny';

  it.each([
    {
      when: 'principal: [gateway-1]',
      hit: {},
      miss: { principal: principalOf('gateway-2', 'acme') },
    },
    { when: 'tenant: [acme]', hit: {}, miss: { principal: principalOf('gateway-1', 'globex') } },
    { when: 'tenant: [acme]', hit: {}, miss: { principal: principalOf('gateway-1') } },
    { when: 'tenant: [ACME]', hit: { principal: principalOf('x', 'ACME') }, miss: {} },
    { when: 'app: [studio]', hit: {}, miss: { app: '' } },
    {
      when: `orchestrator: ["${addressOf('a')}"]`,
      hit: {},
      miss: { orchestrator: addressOf('b') },
    },
    {
      when: `orchestrator: [0x${'A'.repeat(40)}]`,
      hit: {},
      miss: { orchestrator: addressOf('b') },
    },
    { when: `recipient: [${addressOf('b')}]`, hit: {}, miss: { recipient: addressOf('a') } },
    { when: 'type: [lv2v]', hit: {}, miss: { type: 'live' } },
    { when: 'type: [untyped]', hit: { type: '' }, miss: {} },
    { when: 'type: [live, fixed]', hit: { type: 'fixed' }, miss: {} },
    { when: 'tenant: [globex, acme]', hit: {}, miss: { principal: principalOf('x', 'initech') } },
    { when: 'tenant: [acme], app: [studio]', hit: {}, miss: { app: 'other' } },
  ] satisfies { when: string; hit: Partial<PaymentFacts>; miss: Partial<PaymentFacts> }[])(
    '$when holds for $hit and not for $miss',
    ({ when, hit, miss }) => {
      expect(isMatch(when, hit)).toBe(true);
      expect(isMatch(when, miss)).toBe(false);
    },
  );
});

describe('the condition capability', () => {
  const llm = { capability: 33, model: 'meta/llama-3' };
  const lipsync = { capability: 35, model: 'lipsync' };
  const noop = { capability: 35, model: 'noop' };

  it.each([
    { when: '[live-video-to-video]', models: [noop], isAllowed: true, isDenied: true },
    { when: '[live-video-to-video]', models: [noop, lipsync], isAllowed: true, isDenied: true },
    { when: '[live-video-to-video]', models: [noop, llm], isAllowed: false, isDenied: true },
    { when: '[live-video-to-video, llm]', models: [noop, llm], isAllowed: true, isDenied: true },
    { when: '[live-video-to-video/noop]', models: [noop], isAllowed: true, isDenied: true },
    {
      when: '[live-video-to-video/noop]',
      models: [noop, lipsync],
      isAllowed: false,
      isDenied: true,
    },
    { when: '[live-video-to-video/noop]', models: [lipsync], isAllowed: false, isDenied: false },
    { when: '[llm/meta/llama-3]', models: [llm], isAllowed: true, isDenied: true },
    { when: '[llm/noop]', models: [noop], isAllowed: false, isDenied: false },
    {
      when: '[live-video-to-video/noop, live-video-to-video]',
      models: [lipsync],
      isAllowed: true,
      isDenied: true,
    },
    {
      when: '[live-video-to-video, live-video-to-video/noop]',
      models: [lipsync],
      isAllowed: true,
      isDenied: true,
    },
    { when: '[live-video-to-video]', models: [], isAllowed: false, isDenied: false },
    // more than a record has of them
    {
      when: '[llm]',
      models: [...Array<typeof noop>(400).fill(noop), llm],
      isAllowed: false,
      isDenied: true,
    },
    {
      when: '[live-video-to-video]',
      models: [...Array<typeof noop>(400).fill(noop), llm],
      isAllowed: false,
      isDenied: true,
    },
  ])('$when for $models: allow $isAllowed, deny and limits $isDenied', (row) => {
    const facts = paymentFacts({ models: row.models });
    const when = `when: { capability: ${row.when} }`;
    expect(evaluateRules(policy('deny', `then: allow, ${when}`), facts).kind).toBe(
      row.isAllowed ? 'allow' : 'deny',
    );
    for (const effect of ['then: deny', 'limit: { tickets: 0 }']) {
      expect(evaluateRules(policy('allow', `${effect}, ${when}`), facts).kind).toBe(
        row.isDenied ? 'deny' : 'allow',
      );
    }
    const window = policy('allow', `window: { per: all, every: 1h, tickets: 1 }, ${when}`);
    expect(evaluateRules(window, facts)).toMatchObject({
      charges: row.isDenied ? [{ ruleId: 'r0' }] : [],
    });
  });
});

describe('limits', () => {
  const beyond2To53 = 2n ** 53n;

  it.each([
    {
      limit: 'tickets: 10',
      within: { tickets: 10n },
      above: { tickets: 12n },
      says: '12 tickets exceed its limit of 10',
    },
    {
      limit: 'ticketEv: 100.5 wei',
      within: { ticketEv: wei(201n, 2n) },
      above: { ticketEv: wei(403n, 4n) },
      says: "a ticket's EV of 100.750 wei exceeds its limit of 100.500 wei",
    },
    {
      limit: 'totalEv: 100 wei',
      within: { ticketEv: wei(100n, 3n), tickets: 3n },
      above: { ticketEv: wei(301n, 9n), tickets: 3n },
      says: 'a total EV of 101 wei exceeds its limit of 100 wei',
    },
    {
      limit: `totalEv: ${beyond2To53} wei`,
      within: { ticketEv: wei(beyond2To53) },
      above: { ticketEv: wei(beyond2To53 + 1n) },
      says: 'a total EV of 9007199254740993 wei exceeds its limit of 9007199254740992 wei',
    },
    {
      limit: 'faceValue: 0.5 ether',
      within: { faceValue: 5n * 10n ** 17n },
      above: { faceValue: 5n * 10n ** 17n + 1n },
      says: 'a face value of 500000000000000001 wei exceeds its limit of 500000000000000000 wei',
    },
    {
      limit: 'sessionEv: 1000 wei',
      within: { session: session(900n, now) },
      above: { session: session(901n, now) },
      says: "the session's EV would exceed its limit of 1000 wei",
    },
    {
      limit: 'sessionEv: 100 wei',
      within: { ticketEv: wei(100n) },
      above: { ticketEv: wei(1_001n, 10n) },
      says: "the session's EV would exceed its limit of 100 wei",
    },
    {
      limit: 'sessionDuration: 4h',
      within: { session: session(0n, now - 4n * hours) },
      above: { session: session(0n, now - 4n * hours - 1n) },
      says: 'the session has lasted longer than its limit of 4h',
    },
    {
      limit: 'tickets: 0',
      within: { tickets: 0n },
      above: {},
      says: '1 tickets exceed its limit of 0',
    },
  ] satisfies {
    limit: string;
    within: Partial<PaymentFacts>;
    above: Partial<PaymentFacts>;
    says: string;
  }[])('$limit: what is equal passes; $says', ({ limit, within, above, says }) => {
    const rules = policy('allow', `limit: { ${limit} }`);
    expect(verdictOf(rules, paymentFacts(within))).toBe('allow');
    const verdict = evaluateRules(rules, paymentFacts(above));
    expect(verdict).toMatchObject({
      kind: 'deny',
      ruleId: 'r0',
      refusal: { code: 'RULE_LIMIT_EXCEEDED', data: { ruleId: 'r0' } },
    });
    expect(messageOf(verdict)).toBe(`denied by rule r0: ${says}`);
  });

  it('of price is answered with the code of a ceiling and names the rule', () => {
    const rules = policy('allow', 'when: { type: [live] }, limit: { price: 1200.5 wei }');
    expect(verdictOf(rules, paymentFacts({ type: 'live', price: wei(2_401n, 2n) }))).toBe('allow');
    expect(verdictOf(rules, paymentFacts({ type: 'lv2v', price: wei(5_000n) }))).toBe('allow');
    const verdict = evaluateRules(rules, paymentFacts({ type: 'live', price: wei(1_201n) }));
    expect(verdict).toMatchObject({
      ruleId: 'r0',
      refusal: {
        code: 'PRICE_ABOVE_CEILING',
        data: { actual: wei(1_201n), maximum: wei(2_401n, 2n), source: 'rule', ruleId: 'r0' },
      },
    });
    expect(messageOf(verdict)).toBe('orchestrator price 1201.000 exceeds rule r0 ceiling 1200.500');
  });

  it('of all rules that match hold; the first one that does not names the denial', () => {
    const rules = policy(
      'allow',
      'limit: { tickets: 9 }',
      'limit: { tickets: 2 }',
      'limit: { tickets: 1 }',
    );
    expect(verdictOf(rules, paymentFacts())).toBe('allow');
    expect(verdictOf(rules, paymentFacts({ tickets: 5n }))).toBe('RULE_LIMIT_EXCEEDED by r1');
  });
});

describe('amounts in USD', () => {
  /** ether at 3,200 USD when the session began, and at 6,400 USD now */
  const weiPerUsd = {
    ofSession: wei(10n ** 18n, 3_200n),
    now: wei(10n ** 18n, 6_400n),
  };
  const noRate = { ofSession: undefined, now: undefined };

  it.each([
    {
      when: 'when: { type: [live] }, ',
      limit: 'price: 3.6 usd/hour',
      within: { price: wei(10n ** 15n, 3_200n) },
      above: { price: wei(10n ** 15n * 1_000n + 1n, 3_200n * 1_000n) },
      code: 'PRICE_ABOVE_CEILING',
    },
    {
      limit: 'ticketEv: 0.01 usd',
      within: { ticketEv: wei(10n ** 16n, 3_200n) },
      above: { ticketEv: wei(10n ** 16n + 1n, 3_200n) },
    },
    {
      limit: 'totalEv: 3 usd',
      within: { ticketEv: wei(937_500_000_000_000n) },
      above: { ticketEv: wei(937_500_000_000_001n) },
    },
    {
      limit: 'faceValue: 0.7 usd',
      within: { faceValue: 218_750_000_000_000n },
      above: { faceValue: 218_750_000_000_001n },
    },
    {
      limit: 'sessionEv: 1 usd',
      within: { session: session(312_499_999_999_900n, now) },
      above: { session: session(312_499_999_999_901n, now) },
    },
  ])(
    '$limit is worth what it was when the session began: what is equal passes',
    ({ when = '', limit, within, above, code = 'RULE_LIMIT_EXCEEDED' }) => {
      const rules = policy('allow', `${when}limit: { ${limit} }`);
      const judged = (parts: object) =>
        verdictOf(rules, paymentFacts({ type: 'live', weiPerUsd, ...parts }));
      expect(judged(within)).toBe('allow');
      expect(judged(above)).toBe(`${code} by r0`);
      expect(judged({ ...within, weiPerUsd: { ...weiPerUsd, now: undefined } })).toBe('allow');
      expect(() => judged({ ...within, weiPerUsd: { ...noRate, now: weiPerUsd.now } })).toThrow(
        expect.objectContaining({ code: 'PRICE_FEED_UNAVAILABLE' }),
      );
    },
  );

  it('of whole wei are rounded down, against the spender', () => {
    const rules = policy(
      'allow',
      'limit: { faceValue: 1 usd }',
      'window: { per: all, every: 1h, ev: 1 usd }',
    );
    const rate = { ofSession: wei(29n, 3n), now: wei(20n, 3n) };
    const judged = (faceValue: bigint) =>
      evaluateRules(rules, paymentFacts({ faceValue, ticketEv: wei(1n), weiPerUsd: rate }));
    expect(judged(9n)).toMatchObject({ kind: 'allow', charges: [{ limits: { ev: 6n } }] });
    expect(judged(10n)).toMatchObject({ kind: 'deny', refusal: { data: { maximum: 9n } } });
  });

  it('of windows are worth what they are now', () => {
    const rules = policy('allow', 'window: { per: all, every: 1h, ev: 5 usd, tickets: 7 }');
    expect(evaluateRules(rules, paymentFacts({ weiPerUsd }))).toMatchObject({
      charges: [{ limits: { ev: 781_250_000_000_000n, tickets: 7n } }],
    });
    const unknown = paymentFacts({ weiPerUsd: { ...weiPerUsd, now: undefined } });
    expect(() => evaluateRules(rules, unknown)).toThrow(
      expect.objectContaining({ code: 'PRICE_FEED_UNAVAILABLE' }),
    );
  });

  it('need a rate only where a rule applies that has some, is enforced, and the payment is not denied anyway', () => {
    const unknown = paymentFacts({ weiPerUsd: noRate });
    const elsewhere = policy(
      'allow',
      'when: { tenant: [globex] }, limit: { totalEv: 1 usd }',
      'when: { tenant: [globex] }, window: { per: all, every: 1h, ev: 1 usd }',
    );
    expect(verdictOf(elsewhere, unknown)).toBe('allow');
    expect(verdictOf(policy('allow', 'limit: { totalEv: 1 usd }', 'then: deny'), unknown)).toBe(
      'RULE_DENIED by r1',
    );
    expect(verdictOf(policy('deny', 'limit: { totalEv: 1 usd }'), unknown)).toBe('NO_RULE_ALLOWS');
    expect(
      verdictOf(policy('allow', 'limit: { totalEv: 1 usd }', 'limit: { tickets: 0 }'), unknown),
    ).toBe('RULE_LIMIT_EXCEEDED by r1');
  });

  it('in observe mode never refuse: without a rate they are reported, and windows counted', () => {
    const rules = policy(
      'allow',
      'mode: observe, limit: { totalEv: 1 usd }',
      'mode: observe, window: { per: all, every: 1h, ev: 1 usd }',
    );
    expect(evaluateRules(rules, paymentFacts({ weiPerUsd: noRate }))).toMatchObject({
      kind: 'allow',
      observed: ['r0', 'r1'],
      charges: [{ ruleId: 'r1', limits: {} }],
    });
    expect(evaluateRules(rules, paymentFacts({ weiPerUsd }))).toMatchObject({ observed: [] });
  });

  it('make the policy ask for a rate, and limits for states that remember it', () => {
    const uses = (...rules: string[]) => {
      const { usesUsd, hasSessionLimits } = policy('allow', ...rules);
      return { usesUsd, hasSessionLimits };
    };
    expect(uses('limit: { totalEv: 1 wei }')).toEqual({ usesUsd: false, hasSessionLimits: false });
    expect(uses('limit: { totalEv: 1 usd }')).toEqual({ usesUsd: true, hasSessionLimits: true });
    expect(uses('window: { per: all, every: 1h, ev: 1 usd }')).toEqual({
      usesUsd: true,
      hasSessionLimits: false,
    });
  });
});

describe('windows', () => {
  const window = 'every: 1h, ev: 0.01 ether, tickets: 5000';

  it.each([
    { per: 'principal', parts: {}, scope: 'principal=gateway-1' },
    { per: 'tenant', parts: {}, scope: 'tenant=acme' },
    { per: 'tenant', parts: { principal: principalOf('x') }, scope: 'tenant=' },
    // names are told apart by their bytes, however much they look alike
    ...['Acme', 'acme ', 'ａｃｍｅ', 'a\u0301cme', '\u00e1cme'].flatMap((name) => [
      { per: 'tenant', parts: { principal: principalOf('x', name) }, scope: `tenant=${name}` },
      { per: 'principal', parts: { principal: principalOf(name) }, scope: `principal=${name}` },
    ]),
    { per: 'orchestrator', parts: {}, scope: /^orchestrator=#\d{1,5}$/ },
    { per: 'orchestrator', parts: { orchestrator: undefined }, scope: 'orchestrator=' },
    { per: 'app', parts: {}, scope: 'app=#55821' },
    { per: 'app', parts: { app: '' }, scope: 'app=' },
    { per: 'all', parts: {}, scope: '' },
    {
      per: 'principal',
      parts: { principal: principalOf('x'.repeat(128)) },
      scope: `principal=${'x'.repeat(128)}`,
    },
    {
      per: 'principal',
      parts: { principal: principalOf('x'.repeat(129)) },
      scope: 'principal=sha256:0ec9eb33e74510bcdd1f2ea55206e82f21649c5c2becbf2b433eb475b34c01bd',
    },
  ])('per $per count under $scope', ({ per, parts, scope }) => {
    const rules = policy('allow', `window: { per: ${per}, ${window} }`);
    expect(rules.hasWindows).toBe(true);
    expect(evaluateRules(rules, paymentFacts(parts))).toMatchObject({
      kind: 'allow',
      charges: [
        {
          ruleId: 'r0',
          scope: typeof scope === 'string' ? scope : (expect.stringMatching(scope) as string),
          windowMs: 3_600_000,
          limits: { ev: 10n ** 16n, tickets: 5_000n },
          isEnforced: true,
        },
      ],
    });
  });

  it('count names that callers choose in no more than 65,536 places, and those of the rule’s list each by itself', () => {
    const scopesOf = (when: string, names: readonly string[]): Set<string | undefined> => {
      const rules = policy('allow', `${when} window: { per: app, ${window} }`);
      const charges = names.map((app) => evaluateRules(rules, paymentFacts({ app })));
      return new Set(
        charges.map((verdict) => ('charges' in verdict ? verdict.charges[0]?.scope : '')),
      );
    };
    const names = Array.from({ length: 100_000 }, (_, index) => `app-${index}`);
    const places = scopesOf('', names);
    expect(places.size).toBeGreaterThan(45_000);
    expect(places.size).toBeLessThanOrEqual(65_536);
    for (const place of places) expect(place).toMatch(/^app=#\d{1,5}$/);
    const two = ['studio', 'x'.repeat(129)];
    expect(scopesOf(`when: { app: [studio, ${two[1]}] },`, two)).toEqual(
      new Set([
        'app=studio',
        'app=sha256:0ec9eb33e74510bcdd1f2ea55206e82f21649c5c2becbf2b433eb475b34c01bd',
      ]),
    );
  });

  it('of a rule that does not match are not charged, nor any when the payment is denied', () => {
    const rules = policy(
      'allow',
      `when: { tenant: [globex] }, window: { per: all, ${window} }`,
      `window: { per: all, ${window} }`,
      'when: { app: [evil] }, then: deny',
    );
    expect(evaluateRules(rules, paymentFacts())).toMatchObject({ charges: [{ ruleId: 'r1' }] });
    expect(evaluateRules(rules, paymentFacts({ app: 'evil' }))).not.toHaveProperty('charges');
  });

  it('take the expected value of all tickets rounded up once, and a session only when one begins', () => {
    const facts = paymentFacts({ ticketEv: wei(10n, 3n), tickets: 4n });
    expect(spendOf(facts)).toEqual({ ev: 14n, tickets: 4n, sessions: 1n });
    expect(spendOf({ ...facts, tickets: 3n, session: session(5n, now) })).toEqual({
      ev: 10n,
      tickets: 3n,
      sessions: 0n,
    });
  });

  it.each([
    {
      per: 'tenant',
      limit: 'ev',
      maximum: 10n ** 16n,
      says: '10000000000000000 wei of EV every 1h for each tenant',
    },
    { per: 'app', limit: 'tickets', maximum: 5_000n, says: '5000 tickets every 1h for each app' },
    { per: 'all', limit: 'sessions', maximum: 100n, says: '100 sessions every 1h' },
  ] as const)('that are full deny with rule and limit: $says', ({ per, limit, maximum, says }) => {
    const rules = policy('allow', `window: { per: ${per}, ${window}, sessions: 100 }`);
    const verdict = evaluateRules(rules, paymentFacts());
    if (verdict.kind === 'deny') throw new Error('the rules allow it');
    const refusal = refuseExhausted({ ruleId: 'r0', limit, maximum }, verdict.charges, {
      ev: 1n,
      tickets: 1n,
      sessions: 1n,
    });
    expect(refusal).toMatchObject({ code: 'WINDOW_EXHAUSTED', data: { ruleId: 'r0', limit } });
    expect(describeRefusal(refusal)).toBe(
      `denied by rule r0: no room is left in its limit of ${says}`,
    );
  });
});

describe('a payment that finds no room', () => {
  const full = { ruleId: 'r0', limit: 'tickets', maximum: 9n, retryAfterMs: 59_001 } as const;
  const facts = paymentFacts({ ticketEv: wei(10n), tickets: 2n });
  const refuse = (...limits: string[]) => {
    const windows = limits.map((limit) => `window: { per: all, every: 1h, ${limit} }`);
    const verdict = evaluateRules(policy('allow', ...windows), facts);
    if (verdict.kind === 'deny') throw new Error('the rules allow it');
    return refuseExhausted(full, verdict.charges, spendOf(facts));
  };

  it('is told when there will be some, in whole seconds', () => {
    expect(refuse('tickets: 9')).toMatchObject({
      code: 'WINDOW_EXHAUSTED',
      data: { ruleId: 'r0', retryAfterSeconds: 60 },
    });
  });

  it.each([
    ['tickets: 1', 'windowTickets', '2 tickets exceed its limit of 1 every 1h'],
    ['ev: 1 wei', 'windowEv', 'an EV of 20 wei exceeds its limit of 1 wei every 1h'],
    ['sessions: 0', 'windowSessions', '1 sessions exceed its limit of 0 every 1h'],
  ])('and never will is refused for good: %s', (limit, named, says) => {
    const refusal = refuse('tickets: 9', limit);
    expect(refusal).toMatchObject({
      code: 'RULE_LIMIT_EXCEEDED',
      data: { ruleId: 'r1', limit: named, windowMs: 3_600_000 },
    });
    expect(describeRefusal(refusal)).toBe(`denied by rule r1: ${says}`);
  });
});

describe('mode: observe', () => {
  it('reports what would have been denied, and denies nothing', () => {
    const rules = policy(
      'allow',
      'mode: observe, then: deny',
      'mode: observe, limit: { tickets: 0 }',
      'mode: observe, limit: { tickets: 1 }',
      'mode: observe, when: { tenant: [globex] }, then: deny',
      'mode: observe, window: { per: all, every: 1d, tickets: 1 }',
      'mode: observe, then: allow',
    );
    expect(evaluateRules(rules, paymentFacts())).toEqual({
      kind: 'allow',
      matched: ['r0', 'r1', 'r2', 'r4', 'r5'],
      observed: ['r0', 'r1'],
      charges: [
        {
          ruleId: 'r4',
          scope: '',
          windowMs: 86_400_000,
          limits: { tickets: 1n },
          isEnforced: false,
        },
      ],
    });
  });

  it('reports beside a denial too', () => {
    const rules = policy('allow', 'mode: observe, then: deny', 'then: deny');
    expect(evaluateRules(rules, paymentFacts())).toMatchObject({
      kind: 'deny',
      ruleId: 'r1',
      observed: ['r0'],
    });
  });
});

describe('what a policy needs', () => {
  it.each([
    { rules: policy('allow'), hasWindows: false, hasSessionLimits: false },
    { rules: policy('allow', 'limit: { tickets: 1 }'), hasWindows: false, hasSessionLimits: false },
    {
      rules: policy('allow', 'limit: { sessionEv: 1 wei }'),
      hasWindows: false,
      hasSessionLimits: true,
    },
    {
      rules: policy('allow', 'mode: observe, limit: { sessionDuration: 1h }'),
      hasWindows: false,
      hasSessionLimits: true,
    },
    {
      rules: policy('allow', 'window: { per: all, every: 1h, sessions: 0 }'),
      hasWindows: true,
      hasSessionLimits: false,
    },
  ])('windows $hasWindows, session limits $hasSessionLimits', (row) => {
    const { hasWindows, hasSessionLimits } = row.rules;
    expect({ hasWindows, hasSessionLimits }).toEqual({
      hasWindows: row.hasWindows,
      hasSessionLimits: row.hasSessionLimits,
    });
  });
});

describe('a BYOC job', () => {
  const byocJob = byocJobFacts(
    principalOf('gateway-1', 'acme'),
    [{ capability: 37, model: 'upscaler' }],
    0n,
  );

  it.each([
    { rules: policy('allow'), says: 'allow' },
    { rules: policy('deny', 'then: allow, when: { tenant: [acme] }'), says: 'allow' },
    { rules: policy('deny', 'then: allow, when: { kind: [payment] }'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('deny', 'then: allow, when: { type: [untyped] }'), says: 'NO_RULE_ALLOWS' },
    { rules: policy('allow', 'then: deny, when: { kind: [byocJob] }'), says: 'RULE_DENIED by r0' },
    { rules: policy('allow', 'then: deny, when: { kind: [payment] }'), says: 'allow' },
    {
      rules: policy('allow', 'then: deny, when: { capability: [byoc] }'),
      says: 'RULE_DENIED by r0',
    },
    { rules: policy('allow', 'then: deny, when: { capability: [byoc/other] }'), says: 'allow' },
    { rules: policy('allow', 'limit: { totalEv: 1 usd }'), says: 'allow' },
    { rules: policy('allow', 'window: { per: app, every: 1h, ev: 1 usd }'), says: 'allow' },
  ])('is judged by $rules: $says', ({ rules, says }) => {
    expect(verdictOf(rules, byocJob)).toBe(says);
  });
});
