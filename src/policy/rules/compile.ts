import type { PaymentType } from '../../pm/billing.ts';
import type { Address } from '../../pm/bytes.ts';
import type { Money, Usd } from '../../pm/usd.ts';
import type { WindowLimits } from '../limits/ledger.ts';
import type { CapabilityModel } from '../price-list.ts';
import type { PaymentFacts, RequestKind } from './facts.ts';

/** What the policy file says. */
export type PolicyDefinition = {
  /** for payments that no rule allows and none denies */
  readonly default: 'allow' | 'deny';
  readonly rules: readonly RuleDefinition[];
};

export type RuleDefinition = {
  readonly id: string;
  /** `observe`: reported, and without effect on the verdict */
  readonly mode: 'enforce' | 'observe';
  readonly when: RuleConditions;
  readonly effect: RuleEffect;
};

/** All that are given must hold; the values of one are alternatives. */
export type RuleConditions = {
  readonly kind?: readonly RequestKind[];
  readonly principal?: readonly string[];
  readonly tenant?: readonly string[];
  readonly app?: readonly string[];
  readonly orchestrator?: readonly Address[];
  readonly recipient?: readonly Address[];
  readonly capability?: readonly CapabilityPattern[];
  readonly type?: readonly PaymentType[];
};

export type CapabilityPattern = {
  readonly capability: number;
  /** undefined for each of the capability's models */
  readonly model: string | undefined;
};

export type RuleEffect =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny' }
  | { readonly kind: 'limit'; readonly limits: RuleLimits }
  | {
      readonly kind: 'window';
      readonly per: WindowScope;
      readonly windowMs: number;
      readonly limits: Omit<WindowLimits, 'ev'> & { readonly ev?: bigint | Usd };
    };

/** What one payment, or the session it belongs to, may come to at most; what is absent has no limit. */
export type RuleLimits = {
  /** per billing unit */
  readonly price?: Money;
  /** of one ticket */
  readonly ticketEv?: Money;
  /** wei, of all tickets of a payment */
  readonly totalEv?: bigint | Usd;
  /** wei, of one ticket */
  readonly faceValue?: bigint | Usd;
  /** of one payment */
  readonly tickets?: bigint;
  /** wei, this payment included */
  readonly sessionEv?: bigint | Usd;
  readonly sessionDurationMs?: number;
};

/** Who shares one window of a rule. */
export type WindowScope = 'principal' | 'tenant' | 'orchestrator' | 'app' | 'all';

export type RuleCondition = {
  readonly key: keyof RuleConditions;
  readonly holds: (facts: PaymentFacts) => boolean;
};

export type CompiledRule = RuleDefinition & { readonly conditions: readonly RuleCondition[] };

/** A policy file as requests are judged by it. */
export type CompiledPolicy = {
  readonly default: 'allow' | 'deny';
  /** in the order of the file, which decides only which rule a denial names */
  readonly rules: readonly CompiledRule[];
  readonly ruleIds: readonly string[];
  /** Whether a spend ledger is needed. */
  readonly hasWindows: boolean;
  /** Whether it must be known what a session has spent, and since when. */
  readonly hasSessionLimits: boolean;
  /** Whether what sessions spend is limited, for which all copies of a state must be counted together. */
  readonly limitsSessionEv: boolean;
  /** Whether an exchange rate is needed, for a limit or a window. */
  readonly usesUsd: boolean;
};

/** Prepares the conditions once, so that a request needs only a few look-ups for each rule. */
export function compilePolicy(definition: PolicyDefinition): CompiledPolicy {
  const rules = definition.rules.map((rule) => ({ ...rule, conditions: compileConditions(rule) }));
  return {
    default: definition.default,
    rules,
    ruleIds: rules.map(({ id }) => id),
    hasWindows: rules.some(({ effect }) => effect.kind === 'window'),
    limitsSessionEv: rules.some(
      ({ effect }) => effect.kind === 'limit' && effect.limits.sessionEv !== undefined,
    ),
    hasSessionLimits: rules.some(
      ({ effect }) =>
        effect.kind === 'limit' &&
        (effect.limits.sessionEv !== undefined ||
          effect.limits.sessionDurationMs !== undefined ||
          // at the rate at which the session began
          hasUsd(effect.limits)),
    ),
    usesUsd: rules.some(({ effect }) => 'limits' in effect && hasUsd(effect.limits)),
  };
}

/** Whether one of a rule's limits is in USD. */
export function hasUsd(limits: object): boolean {
  return Object.values(limits).some((limit) => typeof limit === 'object' && 'usd' in limit);
}

/** The policy where no policy file is configured: everything is allowed. */
export const emptyPolicy: CompiledPolicy = compilePolicy({ default: 'allow', rules: [] });

function compileConditions({ when, effect }: RuleDefinition): RuleCondition[] {
  const conditions: RuleCondition[] = [];
  function require<Value>(
    key: keyof RuleConditions,
    wanted: readonly Value[] | undefined,
    read: (facts: PaymentFacts) => Value | undefined,
  ): void {
    if (!wanted) return;
    const values = new Set(wanted);
    conditions.push({
      key,
      holds: (facts) => {
        const value = read(facts);
        return value !== undefined && values.has(value);
      },
    });
  }
  require('kind', when.kind, ({ kind }) => kind);
  require('principal', when.principal, ({ principal }) => principal.id);
  require('tenant', when.tenant, ({ principal }) => principal.tenant);
  require('app', when.app, ({ app }) => app);
  require('orchestrator', when.orchestrator, ({ orchestrator }) => orchestrator);
  require('recipient', when.recipient, ({ recipient }) => recipient);
  require('type', when.type, ({ type }) => type);
  if (when.capability) {
    const isListed = compileCapabilities(when.capability);
    conditions.push({
      key: 'capability',
      // in both cases against the spender: a model that is not listed is not allowed, and one that is listed is denied or limited
      holds:
        effect.kind === 'allow'
          ? ({ models }) => models.length > 0 && models.every(isListed)
          : ({ models }) => models.some(isListed),
    });
  }
  return conditions;
}

function compileCapabilities(
  patterns: readonly CapabilityPattern[],
): (model: CapabilityModel) => boolean {
  const modelsOf = new Map<number, Set<string> | 'all'>();
  for (const { capability, model } of patterns) {
    const models = modelsOf.get(capability) ?? new Set();
    if (model === undefined) modelsOf.set(capability, 'all');
    else if (models !== 'all') modelsOf.set(capability, models.add(model));
  }
  return ({ capability, model }) => {
    const models = modelsOf.get(capability);
    return models === 'all' || models?.has(model) === true;
  };
}
