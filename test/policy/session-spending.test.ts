import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { rational } from '../../src/pm/rational.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import type { SessionCharge } from '../../src/policy/limits/ledger.ts';
import type { PaymentProposal } from '../../src/policy/proposal.ts';
import { refuseForgotten, sessionChargeOf } from '../../src/policy/session-spending.ts';
import { address, books, good } from './payment-proposals.ts';

const policy = parsePolicy(
  `default: allow
rules:
  - { id: open, then: allow }
  - { id: slow, window: { per: all, every: 1h, ev: 1 ether } }
  - { id: short, limit: { sessionEv: 10 wei } }
  - { id: watched, mode: observe, limit: { sessionEv: 5 wei } }
  - { id: few, limit: { tickets: 3 } }
  - { id: dollars, limit: { sessionEv: 2 usd } }`,
  'policy.yaml',
);
const everything = policy.ruleIds;

const proposalOf = (
  changes: Partial<SessionState> = {},
  more: Partial<PaymentProposal> = {},
): PaymentProposal => ({ ...good, ...more, books: { ...books, ...changes } });

const idOf = (sender: string, orchestrator: string, stateId: string): string =>
  createHash('sha256').update(`["${sender}","${orchestrator}","${stateId}"]`).digest('base64url');

describe('what a session is counted by', () => {
  it('is its sender, its orchestrator and its own id, whatever else its state says', () => {
    const chargeOf = (proposal: PaymentProposal) =>
      sessionChargeOf(policy, everything, proposal)?.id;
    const usual = idOf(address('3'), address('1'), 's1');
    expect(usual).toHaveLength(43);
    expect(chargeOf(proposalOf())).toBe(usual);
    const others = [
      proposalOf({}, { sender: address('4') }),
      proposalOf({ orchestratorAddress: address('4') }),
      proposalOf({ stateId: 's2' }),
    ];
    expect(others.map(chargeOf)).toEqual([
      idOf(address('4'), address('1'), 's1'),
      idOf(address('3'), address('4'), 's1'),
      idOf(address('3'), address('1'), 's2'),
    ]);
    const same = { app: 'another', senderNonce: 9, spentEv: 7n, recipient: address('9') };
    expect(chargeOf(proposalOf(same))).toBe(usual);
  });

  it('is limited by the rules that matched, and has spent what its state says', () => {
    const chargeOf = (matched: readonly string[], proposal = proposalOf()) =>
      sessionChargeOf(policy, matched, proposal);
    const id = idOf(address('3'), address('1'), 's1');
    const short = { ruleId: 'short', maximum: 10n, isEnforced: true };
    const watched = { ruleId: 'watched', maximum: 5n, isEnforced: false };
    expect(chargeOf(everything)).toEqual({ id, spentEv: 0n, limits: [short, watched] });
    expect(chargeOf(['watched', 'few', 'dollars'], proposalOf({ spentEv: 7n }))).toEqual({
      id,
      spentEv: 7n,
      limits: [watched],
    });
    expect(chargeOf(['open', 'slow'])).toEqual({ id, spentEv: 0n, limits: [] });
  });

  it('in US dollars is worth what it was when the session began', () => {
    const maximumAt = (proposal: PaymentProposal) =>
      sessionChargeOf(policy, ['dollars'], proposal)?.limits.map(({ maximum }) => maximum);
    const chain = { ...good.chain, weiPerUsd: rational(7n, 3n) };
    expect(maximumAt(proposalOf({}, { chain }))).toEqual([4n]);
    expect(maximumAt(proposalOf({ weiPerUsd: rational(5n) }, { chain }))).toEqual([10n]);
    expect(maximumAt(proposalOf())).toEqual([]);
  });

  it('is nothing where no rule limits what sessions spend', () => {
    const none = parsePolicy('default: allow\nrules: [{ id: a, limit: { tickets: 3 } }]', 'p.yaml');
    expect(sessionChargeOf(none, ['a'], proposalOf())).toBeUndefined();
  });
});

describe('a state that is too old for its session to be known', () => {
  const dayMs = 86_400_000;
  const dayNs = BigInt(dayMs) * 1_000_000n;
  const enforced = { ruleId: 'short', maximum: 10n, isEnforced: true };
  const watched = { ruleId: 'watched', maximum: 5n, isEnforced: false };
  const charge = (limits: SessionCharge['limits']): SessionCharge => ({
    id: 'a-session',
    spentEv: 0n,
    limits,
  });
  const refusalAt = (
    lastUpdate: bigint | undefined,
    now: bigint,
    { limits = [watched, enforced], isNewSession = false } = {},
  ) => refuseForgotten(charge(limits), proposalOf({ lastUpdate }, { now, isNewSession }));
  const refused = {
    code: 'RULE_LIMIT_EXCEEDED',
    data: { ruleId: 'short', limit: 'sessionIdle', maximumMs: dayMs },
  };

  it('is refused by the first rule that is enforced, from a day after its last payment on', () => {
    expect(refusalAt(5n, dayNs + 5n)).toBeUndefined();
    expect(refusalAt(5n, dayNs + 6n)).toEqual(refused);
    expect(refusalAt(5n, 4n)).toBeUndefined();
  });

  it('is one too where it does not tell when it paid', () => {
    expect(refusalAt(undefined, dayNs)).toBeUndefined();
    expect(refusalAt(undefined, dayNs + 1n)).toEqual(refused);
  });

  it('is taken where the session is new, or nothing that is enforced limits it', () => {
    expect(refusalAt(5n, 9n * dayNs, { isNewSession: true })).toBeUndefined();
    expect(refusalAt(5n, 9n * dayNs, { limits: [watched] })).toBeUndefined();
    expect(refusalAt(5n, 9n * dayNs, { limits: [] })).toBeUndefined();
  });
});
