import { describe, it } from 'vitest';
import { checkPolicies } from './check-policies.ts';

describe('for very many policy files and requests', () => {
  it('the key is asked only where the policy allows it, whatever the order of rules, a deny wins, nothing is exceeded, and no ticket is signed twice', async () => {
    await checkPolicies(2_000);
  });
});
