import { createHash } from 'node:crypto';
import { toWholeWei } from '../../pm/usd.ts';
import type { WindowCharge } from '../limits/ledger.ts';
import type { RuleConditions, RuleDefinition, RuleEffect, WindowScope } from './compile.ts';
import type { PaymentFacts } from './facts.ts';

export type WindowRule = Pick<RuleDefinition, 'id' | 'mode' | 'when'> & {
  readonly effect: Extract<RuleEffect, { kind: 'window' }>;
};

/**
 * The share of a rule's window that the payment counts in. A limit in USD is converted at the present rate, and is missing where
 * there is none.
 */
export function chargeOf(
  { id, mode, when, effect }: WindowRule,
  facts: PaymentFacts,
): WindowCharge {
  const { per, windowMs, limits } = effect;
  const { ev, ...others } = limits;
  const maximum = ev === undefined ? undefined : toWholeWei(ev, facts.weiPerUsd.now);
  return {
    ruleId: id,
    scope: scopeOf(per, when, facts),
    windowMs,
    limits: maximum === undefined ? others : { ...others, ev: maximum },
    isEnforced: mode === 'enforce',
  };
}

/** Names longer than this are replaced by their hash. */
const longestName = 128;

/**
 * The scope of a payment in a window, such as `tenant=acme`, or `tenant=` for callers without a tenant; '' where all share the
 * window.
 */
function scopeOf(per: WindowScope, when: RuleConditions, facts: PaymentFacts): string {
  const { principal, orchestrator = '', app } = facts;
  switch (per) {
    case 'all':
      return '';
    case 'principal':
      return `principal=${shorten(principal.id)}`;
    case 'tenant':
      return `tenant=${shorten(principal.tenant)}`;
    case 'orchestrator':
      return `orchestrator=${when.orchestrator ? orchestrator : placeOf(orchestrator)}`;
    case 'app':
      return `app=${when.app ? shorten(app) : placeOf(app)}`;
  }
}

function shorten(name: string): string {
  if (name.length <= longestName) return name;
  return `sha256:${createHash('sha256').update(name).digest('hex')}`;
}

/**
 * One of 65,536 places for a name that callers choose, so that a rule never has more counters than that, however many names they
 * use. Names that fall into the same place share its limit. A rule that lists the names it is for counts each of them separately.
 */
function placeOf(name: string): string {
  return name === '' ? '' : `#${createHash('sha256').update(name).digest().readUInt16BE()}`;
}
