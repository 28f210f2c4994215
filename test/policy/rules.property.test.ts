import { describe, expect, it } from 'vitest';
import { divideRoundingUp, rational, scale } from '../../src/pm/rational.ts';
import {
  type CapabilityPattern,
  type PolicyDefinition,
  type RuleConditions,
  type RuleDefinition,
  type RuleEffect,
  type RuleLimits,
  compilePolicy,
} from '../../src/policy/rules/compile.ts';
import { evaluateRules } from '../../src/policy/rules/evaluate.ts';
import { type PaymentFacts, spendOf } from '../../src/policy/rules/facts.ts';
import type { WindowLimits } from '../../src/policy/limits/ledger.ts';
import { addressOf, principalOf } from './rules/payment-facts.ts';
import { fc } from '../support/fast-check.ts';

// few values each, so that conditions hold often enough
const names = ['', 'acme', 'globex'];
const name = fc.constantFrom(...names);
const address = fc.constantFrom(addressOf('a'), addressOf('b'), addressOf('c'));
const type = fc.constantFrom('lv2v', 'live', 'fixed', '');
const capability = fc.constantFrom(33, 35);
const model = fc.constantFrom('one', 'two');
const wei = fc.bigInt(0n, 2n ** 70n);
const amount = fc.tuple(wei, fc.bigInt(1n, 1_000n)).map(([n, d]) => rational(n, d));
const count = fc.bigInt(0n, 100n);

function listOf<Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> {
  return fc.array(value, { minLength: 1, maxLength: 3 });
}

const pattern: fc.Arbitrary<CapabilityPattern> = fc.record({
  capability,
  model: fc.option(model, { nil: undefined }),
});

const conditions: fc.Arbitrary<RuleConditions> = fc.record(
  {
    principal: listOf(name),
    tenant: listOf(name),
    app: listOf(name),
    orchestrator: listOf(address),
    recipient: listOf(address),
    capability: listOf(pattern),
    type: listOf(type),
  },
  { requiredKeys: [] },
);

const limits: fc.Arbitrary<RuleLimits> = fc.record(
  {
    price: amount,
    ticketEv: amount,
    totalEv: wei,
    faceValue: wei,
    tickets: count,
    sessionEv: wei,
    sessionDurationMs: fc.nat(),
  },
  { requiredKeys: [] },
);

const windowLimits: fc.Arbitrary<WindowLimits> = fc.record(
  { ev: wei, tickets: count, sessions: count },
  { requiredKeys: [] },
);

const effect: fc.Arbitrary<RuleEffect> = fc.oneof(
  fc.constant({ kind: 'allow' } as const),
  fc.constant({ kind: 'deny' } as const),
  fc.record({ kind: fc.constant('limit' as const), limits }),
  fc.record({
    kind: fc.constant('window' as const),
    per: fc.constantFrom('principal', 'tenant', 'orchestrator', 'app', 'all'),
    windowMs: fc.integer({ min: 60_000, max: 2_678_400_000 }),
    limits: windowLimits,
  }),
);

const rule: fc.Arbitrary<RuleDefinition> = fc.record({
  id: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,8}$/),
  mode: fc.constantFrom('enforce', 'observe'),
  when: conditions,
  effect,
});

const definition: fc.Arbitrary<PolicyDefinition> = fc.record({
  default: fc.constantFrom('allow', 'deny'),
  rules: fc.uniqueArray(rule, { maxLength: 8, selector: ({ id }) => id }),
});

const now = 1_800_000_000_000_000_000n;

const facts: fc.Arbitrary<PaymentFacts> = fc.record({
  kind: fc.constant('payment' as const),
  principal: fc.tuple(name, name).map(([id, tenant]) => principalOf(id, tenant)),
  app: name,
  orchestrator: address,
  recipient: address,
  models: fc.array(fc.record({ capability, model }), { maxLength: 3 }),
  type,
  price: amount,
  ticketEv: amount,
  faceValue: wei,
  tickets: count,
  session: fc.record({
    isNew: fc.boolean(),
    ev: wei,
    startedAt: fc.bigInt(now - 10n ** 15n, now),
  }),
  weiPerUsd: fc.constant({ ofSession: undefined, now: undefined }),
  now: fc.constant(now),
});

/** Whether the conditions hold, read anew from their definition, without the sets that are compiled from it. */
function isMatch({ when, effect }: RuleDefinition, facts: PaymentFacts): boolean {
  const isOneOf = <Value>(values: readonly Value[] | undefined, value: Value): boolean =>
    values?.includes(value) ?? true;
  const isNamed = (item: PaymentFacts['models'][number]): boolean =>
    (when.capability ?? []).some(
      ({ capability, model }) =>
        capability === item.capability && (model === undefined || model === item.model),
    );
  const { models } = facts;
  const named = models.filter(isNamed).length;
  return (
    isOneOf(when.principal, facts.principal.id) &&
    isOneOf(when.tenant, facts.principal.tenant) &&
    isOneOf(when.app, facts.app) &&
    isOneOf(when.orchestrator, facts.orchestrator) &&
    isOneOf(when.recipient, facts.recipient) &&
    isOneOf(when.type, facts.type) &&
    (!when.capability ||
      (effect.kind === 'allow' ? named > 0 && named === models.length : named > 0))
  );
}

const shuffled = definition.chain((policy) =>
  fc.record({
    policy: fc.constant(policy),
    reordered: fc
      .shuffledSubarray([...policy.rules], { minLength: policy.rules.length })
      .map((rules) => ({ ...policy, rules })),
  }),
);

const runs = { numRuns: 2_000 };

describe('for all policies and payments', () => {
  it('a matching deny wins over everything', () => {
    fc.assert(
      fc.property(definition, facts, (policy, facts) => {
        const denies = policy.rules.filter(
          (rule) => rule.effect.kind === 'deny' && rule.mode === 'enforce' && isMatch(rule, facts),
        );
        const verdict = evaluateRules(compilePolicy(policy), facts);
        if (denies.length === 0) {
          expect(verdict).not.toMatchObject({ refusal: { code: 'RULE_DENIED' } });
        } else {
          expect(verdict).toMatchObject({
            kind: 'deny',
            ruleId: denies[0]?.id,
            refusal: { code: 'RULE_DENIED' },
          });
        }
      }),
      runs,
    );
  });

  it('nothing is allowed without a matching allow, unless that is the default', () => {
    fc.assert(
      fc.property(definition, facts, (policy, facts) => {
        const isAllowed =
          policy.default === 'allow' ||
          policy.rules.some(
            (rule) =>
              rule.effect.kind === 'allow' && rule.mode === 'enforce' && isMatch(rule, facts),
          );
        const verdict = evaluateRules(compilePolicy(policy), facts);
        if (!isAllowed) expect(verdict.kind).toBe('deny');
        else expect(verdict).not.toMatchObject({ refusal: { code: 'NO_RULE_ALLOWS' } });
      }),
      runs,
    );
  });

  it('the rules that match are those whose conditions hold, whatever their mode', () => {
    fc.assert(
      fc.property(definition, facts, (policy, facts) => {
        const matching = policy.rules.filter((rule) => isMatch(rule, facts));
        const verdict = evaluateRules(compilePolicy(policy), facts);
        expect(verdict.matched).toEqual(matching.map(({ id }) => id));
        const windows = matching.filter(({ effect }) => effect.kind === 'window');
        if (verdict.kind === 'allow') {
          expect(verdict.charges.map(({ ruleId }) => ruleId)).toEqual(windows.map(({ id }) => id));
        }
      }),
      runs,
    );
  });

  it('the verdict, and what matched, was observed and is charged, do not depend on the order of rules', () => {
    const unordered = (policy: PolicyDefinition, facts: PaymentFacts) => {
      const { matched, observed, ...verdict } = evaluateRules(compilePolicy(policy), facts);
      return {
        kind: verdict.kind,
        matched: new Set(matched),
        observed: new Set(observed),
        charges: new Set(verdict.kind === 'allow' ? verdict.charges : []),
      };
    };
    fc.assert(
      fc.property(shuffled, facts, ({ policy, reordered }, facts) => {
        expect(unordered(reordered, facts)).toEqual(unordered(policy, facts));
      }),
      runs,
    );
  });

  it('rules in mode observe never change the verdict', () => {
    fc.assert(
      fc.property(definition, facts, (policy, facts) => {
        const enforced = policy.rules.filter(({ mode }) => mode === 'enforce');
        const all = evaluateRules(compilePolicy(policy), facts);
        const alone = evaluateRules(compilePolicy({ ...policy, rules: enforced }), facts);
        const essence = (verdict: typeof all) =>
          verdict.kind === 'deny'
            ? { ruleId: verdict.ruleId, refusal: verdict.refusal }
            : { charges: verdict.charges.filter(({ isEnforced }) => isEnforced) };
        expect(essence(all)).toEqual(essence(alone));
        expect(alone.observed).toEqual([]);
      }),
      runs,
    );
  });

  it('expected values are exact beyond 2^53, and rounded up once for all tickets', () => {
    const large = fc.bigInt(2n ** 53n, 2n ** 120n);
    fc.assert(
      fc.property(facts, large, fc.bigInt(1n, 2n ** 60n), count, (base, n, d, tickets) => {
        const payment = { ...base, ticketEv: rational(n, d), tickets };
        const { ev } = spendOf(payment);
        expect(ev).toBe(divideRoundingUp(scale(rational(n, d), tickets), rational(1n)));
        expect(ev * d - n * tickets).toBeGreaterThanOrEqual(0n);
        expect(ev * d - n * tickets).toBeLessThan(d);

        const judgeWith = (limits: RuleLimits) => {
          const rules = [
            { id: 'r', mode: 'enforce', when: {}, effect: { kind: 'limit', limits } },
          ] as const;
          return evaluateRules(compilePolicy({ default: 'allow', rules }), payment).kind;
        };
        expect(judgeWith({ totalEv: ev })).toBe('allow');
        expect(judgeWith({ totalEv: ev - 1n })).toBe('deny');
        const spent = payment.session.ev + ev;
        expect(judgeWith({ sessionEv: spent })).toBe('allow');
        expect(judgeWith({ sessionEv: spent - 1n })).toBe('deny');
      }),
      runs,
    );
  });
});
