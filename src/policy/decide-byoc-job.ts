import { type Principal, anonymous, principalOfAuthId } from '../auth/principal.ts';
import type { Grant } from '../keys/grant.ts';
import { refuseByocJob } from '../pm/byoc-job.ts';
import type { Denied, PaymentDecisionOptions } from './decide-payment.ts';
import { describeByocJob } from './grant-reasons.ts';
import type { GrantAuthority } from './grants.ts';
import { reserve, usageOf } from './limits/reserve.ts';
import { byoc } from './pipelines.ts';
import type { ByocProposal } from './proposal.ts';
import { evaluateRules, refuseExhausted, refuseSpentSession } from './rules/evaluate.ts';
import { byocJobFacts, spendOf } from './rules/facts.ts';

export type AllowedByocJob = {
  readonly grant: Grant;
  readonly principal: Principal;
  /** the rules that matched, and those in observe mode that would have denied */
  readonly rules: readonly string[];
  readonly observed: readonly string[];
  /** Gives back what was reserved, when the key was not called. Never throws. */
  release(): Promise<void>;
};

export type ByocVerdict = Denied | ({ readonly kind: 'allow' } & AllowedByocJob);

export type ByocDecisionOptions = Pick<PaymentDecisionOptions, 'rules' | 'ledger'> & {
  readonly grants: Pick<GrantAuthority, 'issue'>;
};

/**
 * Makes the decision on a BYOC job: its form, then the operator's rules and their windows, and only then the grant for the key.
 * The auth webhook is not asked, since it only knows payments.
 */
export function createByocDecision({
  rules,
  ledger,
  grants,
}: ByocDecisionOptions): (proposal: ByocProposal, signal: AbortSignal) => Promise<ByocVerdict> {
  return async (proposal, signal) => {
    const { caller, job, now } = proposal;
    const principal =
      caller.principal === anonymous ? principalOfAuthId(caller.authId) : caller.principal;
    const deny = (
      refusal: Denied['refusal'],
      ruleId: string | undefined,
      windows?: Denied['windows'],
    ): Denied => ({ kind: 'deny', refusal, ruleId, principal, windows });
    const malformed = refuseByocJob(job);
    if (malformed) return deny(malformed, undefined);
    const facts = byocJobFacts(principal, [{ capability: byoc, model: job.capability }], now);
    const verdict = evaluateRules(rules(), facts);
    if (verdict.kind === 'deny') return deny(verdict.refusal, verdict.ruleId);
    const { charges, matched } = verdict;
    const spend = spendOf(facts);
    const reservation = await reserve(ledger, charges, spend, signal);
    if (reservation.kind !== 'reserved') {
      const refusal =
        reservation.kind === 'exceeded'
          ? refuseExhausted(reservation, charges, spend)
          : refuseSpentSession(reservation, spend);
      const windows = reservation.kind === 'exceeded' ? await usageOf(ledger, charges) : undefined;
      return deny(refusal, refusal.data.ruleId, windows);
    }
    const observed = [...new Set([...verdict.observed, ...reservation.observed])];
    const reason = describeByocJob(proposal, principal, matched, observed);
    return {
      kind: 'allow',
      grant: grants.issue({ kind: 'byoc-job', job }, reason),
      principal,
      rules: matched,
      observed,
      release: () => reservation.release(),
    };
  };
}
