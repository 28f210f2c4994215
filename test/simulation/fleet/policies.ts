import { type CompiledPolicy, compilePolicy } from '../../../src/policy/rules/compile.ts';
import type { WindowRule } from './watcher.ts';

/** What one ticket of each orchestrator is worth, in wei: 10^15 is the base in which Redis counts. */
export const ticketEvs = [10n ** 15n, 3n * 10n ** 14n + 7n, 5n * 10n ** 15n] as const;

const [ev] = ticketEvs;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

export type SimulatedPolicy = {
  readonly windows: readonly WindowRule[];
  readonly sessionEv: bigint | undefined;
  readonly compiled: CompiledPolicy;
};

function policy(
  sessionEv: bigint | undefined,
  ...windows: readonly Partial<WindowRule>[]
): SimulatedPolicy {
  const rules = windows.map((window, place): WindowRule => ({
    ruleId: `window-${place}`,
    windowMs: hourMs,
    per: 'all',
    ev: undefined,
    tickets: undefined,
    sessions: undefined,
    ...window,
  }));
  const compiled = compilePolicy({
    default: 'allow',
    rules: [
      ...rules.map(({ ruleId, windowMs, per, ev: maximum, tickets, sessions }) => ({
        id: ruleId,
        mode: 'enforce' as const,
        when: {},
        effect: {
          kind: 'window' as const,
          per,
          windowMs,
          limits: {
            ...(maximum !== undefined && { ev: maximum }),
            ...(tickets !== undefined && { tickets }),
            ...(sessions !== undefined && { sessions }),
          },
        },
      })),
      ...(sessionEv === undefined
        ? []
        : [
            {
              id: 'session',
              mode: 'enforce' as const,
              when: {},
              effect: { kind: 'limit' as const, limits: { sessionEv } },
            },
          ]),
    ],
  });
  return { windows: rules, sessionEv, compiled };
}

/** Tight ones, so that most schedules reach a limit. */
export const policies: readonly SimulatedPolicy[] = [
  policy(9n * ev, { per: 'tenant', ev: 8n * ev }),
  policy(undefined, { per: 'all', tickets: 9n }, { per: 'principal', ev: 7n * ev }),
  policy(6n * ev, { per: 'tenant', sessions: 2n, tickets: 12n }),
  policy(
    undefined,
    { per: 'all', ev: 6n * ev, windowMs: minuteMs },
    { per: 'tenant', tickets: 10n },
  ),
  policy(4n * ev),
];
