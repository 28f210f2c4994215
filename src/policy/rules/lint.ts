import type { CapabilityPattern, CompiledPolicy, CompiledRule, RuleConditions } from './compile.ts';

/** Finds what the author of a valid policy most likely did not mean, one sentence for each. */
export function lintPolicy(policy: CompiledPolicy): string[] {
  const denial = findDenialOfEverything(policy);
  return [
    ...findUselessAllows(policy),
    ...findJobsWithoutValues(policy),
    ...findShadowed(policy),
    ...(denial === undefined ? [] : [denial]),
  ];
}

const isAllow = ({ effect }: CompiledRule): boolean => effect.kind === 'allow';
const isEnforcedDeny = ({ effect, mode }: CompiledRule): boolean =>
  effect.kind === 'deny' && mode === 'enforce';

function findUselessAllows(policy: CompiledPolicy): string[] {
  return policy.rules.filter(isAllow).flatMap(({ id, mode }) => {
    if (mode === 'observe') {
      return `rule ${id} has no effect: an allow in mode observe neither allows nor reports anything`;
    }
    return policy.default === 'allow'
      ? `rule ${id} has no effect: the default is to allow, and an allow does not win over a deny`
      : [];
  });
}

/** Conditions on properties that payments have and BYOC jobs don't. */
const conditionsOfPayments = ['app', 'orchestrator', 'recipient', 'type'] as const;

function findJobsWithoutValues({ rules }: CompiledPolicy): string[] {
  return rules
    .filter(({ when }) => when.kind?.every((kind) => kind === 'byocJob'))
    .flatMap(({ id, when, effect }) => {
      const condition = conditionsOfPayments.find((key) => when[key]);
      if (condition) return `rule ${id} has no effect: BYOC jobs have no ${condition}`;
      return effect.kind === 'limit' ? `rule ${id} has no effect: BYOC jobs pay nothing` : [];
    });
}

function findShadowed({ rules }: CompiledPolicy): string[] {
  return rules.flatMap((rule, index) => {
    const shadow = rules.find(
      (deny, position) =>
        deny !== rule &&
        isEnforcedDeny(deny) &&
        isAlwaysMet(deny.when, rule.when) &&
        // of two rules that deny the same, the first one counts
        !(isEnforcedDeny(rule) && position > index && isAlwaysMet(rule.when, deny.when)),
    );
    return shadow
      ? `rule ${rule.id} has no effect: rule ${shadow.id} denies every payment that it matches`
      : [];
  });
}

/** Why no payment at all can be allowed; undefined where one can. */
export function findDenialOfEverything({ rules, ...policy }: CompiledPolicy): string | undefined {
  const deny = rules.find((rule) => isEnforcedDeny(rule) && rule.conditions.length === 0);
  if (deny) return `every payment is denied: rule ${deny.id} has no conditions`;
  const isSomethingAllowed =
    policy.default === 'allow' || rules.some((rule) => isAllow(rule) && rule.mode === 'enforce');
  return isSomethingAllowed
    ? undefined
    : 'every payment is denied: the default is to deny, and no rule allows any';
}

/** Whether `wide`, the conditions of a rule that denies, hold for every payment that `narrow` holds for. */
function isAlwaysMet(wide: RuleConditions, narrow: RuleConditions): boolean {
  const includes = <Value>(
    all: readonly Value[] | undefined,
    some: readonly Value[] | undefined,
    isIn: (value: Value, values: readonly Value[]) => boolean = (value, values) =>
      values.includes(value),
  ): boolean => !all || (some?.every((value) => isIn(value, all)) ?? false);
  return (
    includes(wide.kind, narrow.kind) &&
    includes(wide.principal, narrow.principal) &&
    includes(wide.tenant, narrow.tenant) &&
    includes(wide.app, narrow.app) &&
    includes(wide.orchestrator, narrow.orchestrator) &&
    includes(wide.recipient, narrow.recipient) &&
    includes(wide.type, narrow.type) &&
    includes(wide.capability, narrow.capability, isCovered)
  );
}

function isCovered(narrow: CapabilityPattern, patterns: readonly CapabilityPattern[]): boolean {
  return patterns.some(
    ({ capability, model }) =>
      capability === narrow.capability && (model === undefined || model === narrow.model),
  );
}
