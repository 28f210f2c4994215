import { hash } from 'node:crypto';
import type { Refusal } from '../pm/refusal.ts';
import { toWholeWei } from '../pm/usd.ts';
import { sessionRate } from './exchange-rate.ts';
import type { SessionCharge } from './limits/ledger.ts';
import { sessionIdleMs } from './limits/sessions.ts';
import type { PaymentProposal } from './proposal.ts';
import type { CompiledPolicy } from './rules/compile.ts';

/**
 * The session that the ledger is to count a payment in, with the limits of the rules that matched; undefined where no rule of the
 * policy limits what sessions spend.
 */
export function sessionChargeOf(
  { limitsSessionEv, rules }: CompiledPolicy,
  matched: readonly string[],
  { books, chain, sender }: PaymentProposal,
): SessionCharge | undefined {
  if (!limitsSessionEv) return undefined;
  const weiPerUsd = sessionRate(books, chain);
  const name = JSON.stringify([sender, books.orchestratorAddress, books.stateId]);
  return {
    id: hash('sha256', name, 'base64url'),
    spentEv: books.spentEv ?? 0n,
    limits: rules.flatMap(({ id, mode, effect }) => {
      const limit = effect.kind === 'limit' ? effect.limits.sessionEv : undefined;
      const maximum = limit === undefined ? undefined : toWholeWei(limit, weiPerUsd);
      if (maximum === undefined || !matched.includes(id)) return [];
      return { ruleId: id, maximum, isEnforced: mode === 'enforce' };
    }),
  };
}

/** Refuses a state that is so old that the ledger may have forgotten what its session has spent since. */
export function refuseForgotten(
  { limits }: SessionCharge,
  { books, isNewSession, now }: PaymentProposal,
): Extract<Refusal, { code: 'RULE_LIMIT_EXCEEDED' }> | undefined {
  const limit = limits.find(({ isEnforced }) => isEnforced);
  const idle = now - (books.lastUpdate ?? 0n);
  if (!limit || isNewSession || idle <= BigInt(sessionIdleMs) * 1_000_000n) return undefined;
  const data = { ruleId: limit.ruleId, limit: 'sessionIdle', maximumMs: sessionIdleMs } as const;
  return { code: 'RULE_LIMIT_EXCEEDED', data };
}
