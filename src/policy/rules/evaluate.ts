import type { Refusal, RefusalOf } from '../../pm/refusal.ts';
import type { ReserveOutcome, Spend, WindowCharge } from '../limits/ledger.ts';
import { findExceeded, nothingSpent } from '../limits/windows.ts';
import { rateUnavailable } from '../exchange-rate.ts';
import { type CompiledPolicy, type CompiledRule, hasUsd } from './compile.ts';
import { type PaymentFacts, spendOf } from './facts.ts';
import { limitsInWei, refuseAboveLimits } from './limits.ts';
import { chargeOf } from './windows.ts';

/** What the rules say of a payment. */
export type RuleVerdict = {
  /** ids of the rules whose conditions hold, whatever their mode */
  readonly matched: readonly string[];
  /** ids of those in mode `observe` that would have denied */
  readonly observed: readonly string[];
} & (
  | {
      readonly kind: 'allow';
      /** the windows that the payment counts in, and must find room in */
      readonly charges: readonly WindowCharge[];
    }
  | {
      readonly kind: 'deny';
      readonly refusal: Refusal;
      /** undefined when the reason is that no rule allows the payment */
      readonly ruleId: string | undefined;
    }
);

type Denial = { readonly refusal: Refusal; readonly ruleId: string | undefined };

function notAllowed({ kind }: PaymentFacts): Denial {
  const data = kind === 'byocJob' ? { kind } : {};
  return { ruleId: undefined, refusal: { code: 'NO_RULE_ALLOWS', data } };
}

/**
 * Judges a payment. An explicit deny wins over any allow; then, unless the default is to allow, a rule must allow the payment;
 * then all limits must hold. The verdict does not depend on the order of the rules, which only decides which rule's refusal is
 * given. Throws `PRICE_FEED_UNAVAILABLE` where an enforced limit in USD applies to a payment that is not denied anyway, and there
 * is no rate.
 */
export function evaluateRules(policy: CompiledPolicy, facts: PaymentFacts): RuleVerdict {
  const matched: string[] = [];
  const observed: string[] = [];
  const charges: WindowCharge[] = [];
  const spend = spendOf(facts);
  let isAllowed = policy.default === 'allow';
  let denied: Denial | undefined;
  let limited: Denial | undefined;
  let lacksRate = false;
  for (const rule of policy.rules) {
    if (!isMatch(rule, facts)) continue;
    const ruleId = rule.id;
    matched.push(ruleId);
    const finding = judge(rule, facts, spend);
    if (finding.charge) charges.push(finding.charge);
    if (rule.mode === 'observe') {
      if (finding.refusal || finding.lacksRate === true) observed.push(ruleId);
    } else if (rule.effect.kind === 'allow') {
      isAllowed = true;
    } else if (finding.refusal) {
      const denial = { ruleId, refusal: finding.refusal };
      if (rule.effect.kind === 'deny') denied ??= denial;
      else limited ??= denial;
    } else if (finding.lacksRate === true) {
      lacksRate = true;
    }
  }
  const denial = denied ?? (isAllowed ? limited : notAllowed(facts));
  if (!denial && lacksRate) throw rateUnavailable();
  return denial
    ? { kind: 'deny', ...denial, matched, observed }
    : { kind: 'allow', matched, observed, charges };
}

/** The windows that a payment counts in, whatever else the rules say of it. */
export function listWindows({ rules }: CompiledPolicy, facts: PaymentFacts): WindowCharge[] {
  return rules.flatMap((rule) =>
    rule.effect.kind === 'window' && isMatch(rule, facts)
      ? [chargeOf({ ...rule, effect: rule.effect }, facts)]
      : [],
  );
}

function isMatch({ conditions }: CompiledRule, facts: PaymentFacts): boolean {
  return conditions.every(({ holds }) => holds(facts));
}

/** A rule's finding on a payment that its conditions hold for, whether the rule is enforced or not. */
export type RuleFinding = {
  /** its denial, or the limit that the payment exceeds */
  readonly refusal?: Refusal | undefined;
  /** the window that the payment counts in */
  readonly charge?: WindowCharge;
  /** whether it has a limit in USD, and there is no rate to convert it */
  readonly lacksRate?: boolean;
};

/** The finding of a single rule, whose conditions must hold; `spend` is the payment's. */
export function judge(
  { id, mode, when, effect }: CompiledRule,
  facts: PaymentFacts,
  spend: Spend,
): RuleFinding {
  switch (effect.kind) {
    case 'allow':
      return {};
    case 'deny':
      return { refusal: { code: 'RULE_DENIED', data: { ruleId: id } } };
    case 'limit':
      return {
        refusal: refuseAboveLimits(
          id,
          limitsInWei(effect.limits, facts.weiPerUsd.ofSession),
          facts,
          spend,
        ),
        lacksRate:
          isPaid(facts) && facts.weiPerUsd.ofSession === undefined && hasUsd(effect.limits),
      };
    case 'window':
      return {
        charge: chargeOf({ id, mode, when, effect }, facts),
        lacksRate: isPaid(facts) && facts.weiPerUsd.now === undefined && hasUsd(effect.limits),
      };
  }
}

/** A request that pays nothing has no value in any currency, so it needs no rate. */
const isPaid = ({ kind }: PaymentFacts): boolean => kind === 'payment';

const limitOfWindow = {
  ev: 'windowEv',
  tickets: 'windowTickets',
  sessions: 'windowSessions',
} as const;

type Exceeded = Pick<
  Extract<ReserveOutcome, { kind: 'exceeded' }>,
  'ruleId' | 'limit' | 'maximum'
> & {
  /** undefined where it is not known */
  readonly retryAfterMs?: number;
};

/**
 * The refusal of a payment that finds no room in one of its windows: for now, or for good when it is larger than a whole window.
 * `spend` is the payment's.
 */
export function refuseExhausted(
  { ruleId, limit, maximum, retryAfterMs }: Exceeded,
  charges: readonly WindowCharge[],
  spend: Spend,
): RefusalOf<'WINDOW_EXHAUSTED' | 'RULE_LIMIT_EXCEEDED'> {
  const tooLarge = refuseLargerThanWindow(charges, spend);
  if (tooLarge) return tooLarge;
  const { scope = '', windowMs = 0 } = charges.find((charge) => charge.ruleId === ruleId) ?? {};
  const data = { ruleId, limit, maximum, windowMs, scope };
  if (retryAfterMs === undefined) return { code: 'WINDOW_EXHAUSTED', data };
  const retryAfterSeconds = Math.ceil(retryAfterMs / 1000);
  return { code: 'WINDOW_EXHAUSTED', data: { ...data, retryAfterSeconds } };
}

function refuseLargerThanWindow(
  charges: readonly WindowCharge[],
  spend: Spend,
): RefusalOf<'RULE_LIMIT_EXCEEDED'> | undefined {
  for (const { ruleId, limits, windowMs, isEnforced } of charges) {
    const kind = isEnforced ? findExceeded(nothingSpent, spend, limits) : undefined;
    const maximum = kind && limits[kind];
    if (kind === undefined || maximum === undefined) continue;
    const data = { ruleId, limit: limitOfWindow[kind], actual: spend[kind], maximum, windowMs };
    return { code: 'RULE_LIMIT_EXCEEDED', data };
  }
  return undefined;
}

/** The refusal of a payment for which its session has no room left, as the ledger counts it. `spend` is the payment's. */
export function refuseSpentSession(
  { ruleId, maximum, spent }: Extract<ReserveOutcome, { kind: 'session-exceeded' }>,
  { ev }: Spend,
): RefusalOf<'RULE_LIMIT_EXCEEDED'> {
  const data = { ruleId, limit: 'sessionEv', actual: spent + ev, maximum } as const;
  return { code: 'RULE_LIMIT_EXCEEDED', data };
}
