import type { Spend, WindowCharge } from '../limits/ledger.ts';
import { findExceeded } from '../limits/windows.ts';
import type { CompiledPolicy, CompiledRule, RuleConditions } from './compile.ts';
import {
  type RuleFinding,
  type RuleVerdict,
  refuseExhausted,
  evaluateRules,
  judge,
} from './evaluate.ts';
import { type PaymentFacts, spendOf } from './facts.ts';

export type RuleExplanation = {
  readonly rule: CompiledRule;
  /** the conditions that don't hold; the rule matches when there are none */
  readonly unmet: readonly (keyof RuleConditions)[];
  /** the rule's finding where it matches */
  readonly finding: RuleFinding;
};

/** The explanation of each rule for a payment, in the order of the file. */
export function explainRules(policy: CompiledPolicy, facts: PaymentFacts): RuleExplanation[] {
  const spend = spendOf(facts);
  return policy.rules.map((rule) => {
    const unmet = rule.conditions.filter(({ holds }) => !holds(facts)).map(({ key }) => key);
    return { rule, unmet, finding: unmet.length === 0 ? judge(rule, facts, spend) : {} };
  });
}

/** The verdict of rules and windows together, as the ledger would give it if this much had been spent. */
export function evaluateAfter(
  spentIn: (charge: WindowCharge) => Spend,
  policy: CompiledPolicy,
  facts: PaymentFacts,
): RuleVerdict {
  const verdict = evaluateRules(policy, facts);
  if (verdict.kind === 'deny') return verdict;
  const spend = spendOf(facts);
  const observed = [...verdict.observed];
  for (const charge of verdict.charges) {
    const { ruleId, limits, isEnforced } = charge;
    const limit = findExceeded(spentIn(charge), spend, limits);
    if (limit === undefined) continue;
    if (isEnforced) {
      const exceeded = { ruleId, limit, maximum: limits[limit] ?? 0n };
      const refusal = refuseExhausted(exceeded, verdict.charges, spend);
      return {
        kind: 'deny',
        ruleId: refusal.data.ruleId,
        refusal,
        matched: verdict.matched,
        observed,
      };
    }
    observed.push(ruleId);
  }
  return { ...verdict, observed };
}
