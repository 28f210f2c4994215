import type { ReserveOutcome, SessionCharge } from './ledger.ts';

/**
 * How long after its last payment a session may go on paying. After that its state is refused, where what sessions spend is
 * limited.
 */
export const sessionIdleMs = 24 * 3_600_000;

/** How long it is remembered what a session has spent: one hour more, for clocks that disagree. */
export const sessionKeptMs = sessionIdleMs + 3_600_000;

/** The ledger's verdict on a payment of `ev` wei, where it knows that the session has spent `knownEv` wei before. */
export function judgeSession(
  knownEv: bigint,
  { spentEv, limits }: SessionCharge,
  ev: bigint,
): {
  readonly total: bigint;
  readonly observed: readonly string[];
  readonly exceeded: Extract<ReserveOutcome, { kind: 'session-exceeded' }> | undefined;
} {
  const spent = knownEv > spentEv ? knownEv : spentEv;
  const total = spent + ev;
  const passed = limits.filter(({ maximum }) => total > maximum);
  const refusing = passed.find(({ isEnforced }) => isEnforced);
  return {
    total,
    observed: passed.map(({ ruleId }) => ruleId),
    exceeded: refusing && {
      kind: 'session-exceeded',
      ruleId: refusing.ruleId,
      maximum: refusing.maximum,
      spent,
    },
  };
}
