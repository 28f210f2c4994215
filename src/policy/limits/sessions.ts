import type { ReserveOutcome, SessionCharge } from './ledger.ts';

/** A session goes on paying for so long after its last payment; then its state is refused where what it spends is limited. */
export const sessionIdleMs = 24 * 3_600_000;

/** What a session has spent is kept an hour longer than that, for clocks that disagree. */
export const sessionKeptMs = sessionIdleMs + 3_600_000;

/** What the ledger makes of a payment of `ev` wei; it knows of `knownEv` wei that the session has spent before. */
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
