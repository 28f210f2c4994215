import { type Policy, type PolicyOptions, createPolicy } from '../../src/policy/policy.ts';
import { emptyPolicy } from '../../src/policy/rules/compile.ts';
import { alwaysPermitted } from '../../src/policy/switch/signing-switch.ts';

/** No policy file, and so nothing to remember; nobody stops signing. */
export const noRules: Pick<PolicyOptions, 'rules' | 'ledger' | 'signingPermit'> = {
  rules: () => emptyPolicy,
  signingPermit: alwaysPermitted,
  ledger: () => Promise.reject(new Error('no rule has a window')),
};

/** A policy for tests that are not about payments: it allows next to none. */
export function createPolicyWithoutRules(
  options: Pick<PolicyOptions, 'nowMs' | 'transactions'> &
    Partial<Pick<PolicyOptions, 'signingPermit'>>,
): Policy {
  return createPolicy({
    guardrails: {
      limits: {
        maxTicketEv: { numerator: 1n, denominator: 1n },
        maxTotalEv: { numerator: 1n, denominator: 1n },
        depositMultiplier: 1n,
      },
      prices: { byType: {}, byCapability: [] },
      maxTickets: 100n,
      forks: 'count',
    },
    authorize: undefined,
    ...noRules,
    ...options,
  });
}
