import { createHash } from 'node:crypto';
import { toWholeWei } from '../../pm/usd.ts';
import type { WindowCharge } from '../limits/ledger.ts';
import type { RuleEffect, WindowScope } from './compile.ts';
import type { PaymentFacts } from './facts.ts';

type Window = Extract<RuleEffect, { kind: 'window' }>;

/** The share of a rule's window that the payment counts in; a limit in USD is what it is worth now, or missing without a rate. */
export function chargeOf(
  ruleId: string,
  { per, windowMs, limits }: Window,
  isEnforced: boolean,
  facts: PaymentFacts,
): WindowCharge {
  const { ev, ...others } = limits;
  const maximum = ev === undefined ? undefined : toWholeWei(ev, facts.weiPerUsd.now);
  return {
    ruleId,
    scope: scopeOf(per, facts),
    windowMs,
    limits: maximum === undefined ? others : { ...others, ev: maximum },
    isEnforced,
  };
}

/** Longer names, which a caller can choose, are kept by their hash. */
const longestName = 128;

/** Such as `tenant=acme`, and `tenant=` for callers without one; '' where all share the window. */
function scopeOf(per: WindowScope, { principal, orchestrator, app }: PaymentFacts): string {
  if (per === 'all') return '';
  const names = { principal: principal.id, tenant: principal.tenant, orchestrator, app };
  const name = names[per] ?? '';
  if (name.length <= longestName) return `${per}=${name}`;
  return `${per}=sha256:${createHash('sha256').update(name).digest('hex')}`;
}
