import { expect, it } from 'vitest';
import { parsePolicy } from '../../../src/config/policy-file.ts';
import type { Spend, WindowCharge } from '../../../src/policy/limits/ledger.ts';
import { nothingSpent } from '../../../src/policy/limits/windows.ts';
import { evaluateAfter, explainRules } from '../../../src/policy/rules/explain.ts';
import { paymentFacts, wei } from './payment-facts.ts';

const policy = parsePolicy(
  `default: allow
rules:
  - { id: elsewhere, when: { tenant: [globex], app: [studio], type: [live] }, then: deny }
  - { id: watch, mode: observe, then: deny }
  - { id: few, limit: { tickets: 5 } }
  - { id: full, mode: observe, window: { per: all, every: 1h, tickets: 2 } }
  - { id: day, window: { per: tenant, every: 1d, ev: 300 wei, tickets: 4 } }
  - { id: week, window: { per: tenant, every: 7d, ev: 900 wei } }`,
  'policy.yaml',
);

const dayCharge = {
  ruleId: 'day',
  scope: 'tenant=acme',
  windowMs: 86_400_000,
  limits: { ev: 300n, tickets: 4n },
  isEnforced: true,
};

it('each rule is explained: what of it does not hold, or what it says', () => {
  const facts = paymentFacts({ ticketEv: wei(100n), tickets: 6n });
  const explained = explainRules(policy, facts);
  expect(explained.map(({ rule }) => rule)).toEqual(policy.rules);
  expect(explained.map(({ unmet, finding }) => [unmet, finding])).toEqual([
    [['tenant', 'type'], {}],
    [[], { refusal: { code: 'RULE_DENIED', data: { ruleId: 'watch' } } }],
    [
      [],
      {
        lacksRate: false,
        refusal: {
          code: 'RULE_LIMIT_EXCEEDED',
          data: { ruleId: 'few', limit: 'tickets', actual: 6n, maximum: 5n },
        },
      },
    ],
    [
      [],
      {
        lacksRate: false,
        charge: {
          ruleId: 'full',
          scope: '',
          windowMs: 3_600_000,
          limits: { tickets: 2n },
          isEnforced: false,
        },
      },
    ],
    [[], { lacksRate: false, charge: dayCharge }],
    [[], { lacksRate: false, charge: expect.objectContaining({ ruleId: 'week' }) as object }],
  ]);
});

it('the verdict after what was spent is the ledger’s: denied by the first window without room', () => {
  const spent =
    (by: Readonly<Record<string, Partial<Spend>>>) =>
    ({ ruleId }: WindowCharge): Spend => ({ ...nothingSpent, ...by[ruleId] });
  const facts = paymentFacts({ ticketEv: wei(100n), tickets: 2n });
  const matched = ['watch', 'few', 'full', 'day', 'week'];
  const allowed = evaluateAfter(spent({}), policy, facts);
  expect(allowed).toMatchObject({ kind: 'allow', matched, observed: ['watch'] });
  expect(allowed.kind === 'allow' && allowed.charges.map(({ ruleId }) => ruleId)).toEqual([
    'full',
    'day',
    'week',
  ]);
  expect(evaluateAfter(spent({ full: { tickets: 1n } }), policy, facts)).toMatchObject({
    kind: 'allow',
    observed: ['watch', 'full'],
  });
  const denied = evaluateAfter(
    spent({ full: { tickets: 1n }, day: { ev: 101n }, week: { ev: 900n } }),
    policy,
    facts,
  );
  expect(denied).toStrictEqual({
    kind: 'deny',
    ruleId: 'day',
    refusal: {
      code: 'WINDOW_EXHAUSTED',
      data: {
        ruleId: 'day',
        limit: 'ev',
        maximum: 300n,
        windowMs: 86_400_000,
        scope: 'tenant=acme',
      },
    },
    matched,
    observed: ['watch', 'full'],
  });
});

it('one that the rules deny, or that is larger than its window, is denied whatever was spent', () => {
  const never = (): Spend => {
    throw new Error('nobody asks');
  };
  const tooMany = evaluateAfter(never, policy, paymentFacts({ tickets: 6n }));
  expect(tooMany).toMatchObject({ kind: 'deny', ruleId: 'few' });
  const tooLarge = paymentFacts({ ticketEv: wei(301n), tickets: 1n });
  expect(evaluateAfter(() => nothingSpent, policy, tooLarge)).toMatchObject({
    ruleId: 'day',
    refusal: {
      code: 'RULE_LIMIT_EXCEEDED',
      data: { ruleId: 'day', limit: 'windowEv', actual: 301n, maximum: 300n },
    },
  });
});

it('each condition that does not hold is named as the policy file names it', () => {
  const when = [
    'kind: [byocJob]',
    'principal: [nobody]',
    'tenant: [globex]',
    'app: [other]',
    `orchestrator: ["0x${'c'.repeat(40)}"]`,
    `recipient: ["0x${'c'.repeat(40)}"]`,
    'capability: [text-to-image]',
    'type: [live]',
  ];
  const rules = when.map(
    (condition, index) => `{ id: r${index}, when: { ${condition} }, then: deny }`,
  );
  const each = parsePolicy(`default: allow\nrules: [${rules.join(', ')}]`, 'policy.yaml');
  expect(explainRules(each, paymentFacts()).map(({ unmet }) => unmet)).toEqual(
    when.map((condition) => [condition.slice(0, condition.indexOf(':'))]),
  );
});
