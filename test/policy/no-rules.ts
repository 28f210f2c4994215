import type { PolicyOptions } from '../../src/policy/policy.ts';
import { emptyPolicy } from '../../src/policy/rules/compile.ts';

/** No policy file, and so nothing to remember. */
export const noRules: Pick<PolicyOptions, 'rules' | 'ledger'> = {
  rules: () => emptyPolicy,
  ledger: () => Promise.reject(new Error('no rule has a window')),
};
