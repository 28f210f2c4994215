import { type PaymentAuthorizer, WebhookRejectionError } from '../auth/authorization.ts';
import type { KeyJournal } from '../keys/key-journal.ts';
import type { SpendLedger, WindowCharge } from '../policy/limits/ledger.ts';
import { spendKinds } from '../policy/limits/windows.ts';
import type { AnswerMemory } from '../session/answer-memory.ts';
import { traceStep } from '../trace-steps.ts';
import type { Dependency, Metrics, WindowSample } from '../telemetry/metrics.ts';

type Meter = Pick<Metrics, 'dependencyAsked'>;

async function time<Result>(
  metrics: Meter,
  dependency: Dependency,
  ask: () => Promise<Result>,
): Promise<Result> {
  const startedAt = performance.now();
  let isOk = false;
  try {
    const result = await ask();
    isOk = true;
    return result;
  } catch (error) {
    // it was asked, and said no
    isOk = error instanceof WebhookRejectionError;
    throw error;
  } finally {
    metrics.dependencyAsked(dependency, isOk, (performance.now() - startedAt) / 1000);
  }
}

/** The journal, each use of the key measured; `provider` is whom the key is asked of. */
export function meterKeyUses(
  journal: KeyJournal,
  provider: string,
  metrics: Pick<Metrics, 'keyUsed'>,
): KeyJournal {
  return {
    async begin(use) {
      const record = await journal.begin(use);
      const { kind } = use.intent;
      return {
        signed(durationMs, event) {
          metrics.keyUsed(provider, kind, 'signed', durationMs / 1000);
          return record.signed(durationMs, event);
        },
        failed(code, durationMs) {
          metrics.keyUsed(provider, kind, code, durationMs / 1000);
          record.failed(code, durationMs);
        },
      };
    },
  };
}

/** The audit log's journal, each wait for its disk measured. */
export function meterAudit(journal: KeyJournal, metrics: Meter): KeyJournal {
  return {
    async begin(use) {
      const record = await time(metrics, 'audit', () =>
        traceStep('audit', { record: 'key-use' }, () => journal.begin(use)),
      );
      return {
        signed: (durationMs, event) =>
          time(metrics, 'audit', () =>
            traceStep('audit', { record: 'signed' }, () => record.signed(durationMs, event)),
          ),
        failed: (code, durationMs) => record.failed(code, durationMs),
      };
    },
  };
}

/** The webhook, each question measured; that it refuses a payment is no failure of its own. */
export function meterWebhook(authorize: PaymentAuthorizer, metrics: Meter): PaymentAuthorizer {
  return (caller, projected, signal) =>
    time(metrics, 'webhook', () => authorize(caller, projected, signal));
}

/** The memory of answers, each claim measured. */
export function meterAnswers(answers: AnswerMemory, metrics: Meter): AnswerMemory {
  return {
    claim: (request, signal) => time(metrics, 'answers', () => answers.claim(request, signal)),
    checkHealth: () => answers.checkHealth(),
  };
}

/** Windows whose use is told; those that were asked for longest ago are forgotten. */
const maxWindows = 100;

/** Windows that payments counted in lately. */
export class RecentWindows {
  readonly #charges = new Map<string, WindowCharge>();

  note(charges: readonly WindowCharge[]): void {
    for (const charge of charges) {
      const key = `${charge.ruleId} ${charge.windowMs} ${charge.scope}`;
      this.#charges.delete(key);
      this.#charges.set(key, charge);
    }
    for (const key of this.#charges.keys()) {
      if (this.#charges.size <= maxWindows) return;
      this.#charges.delete(key);
    }
  }

  /** What is allowed and spent in each of them. Throws `LEDGER_UNAVAILABLE`. */
  async sample(ledger: Pick<SpendLedger, 'usage'>): Promise<WindowSample[]> {
    const charges = [...this.#charges.values()];
    if (charges.length === 0) return [];
    const usage = await ledger.usage(charges);
    return charges.flatMap(({ ruleId: rule, windowMs, scope, limits }, index) =>
      spendKinds.flatMap((kind): WindowSample[] => {
        const maximum = limits[kind];
        const spent = usage[index]?.[kind];
        if (maximum === undefined || spent === undefined) return [];
        const limit = kind === 'ev' ? 'ev_wei' : kind;
        return [{ rule, windowMs, scope, limit, maximum, spent }];
      }),
    );
  }
}

/** The ledger, each reservation measured, and its windows noted. */
export function meterLedger(
  ledger: SpendLedger,
  windows: RecentWindows,
  metrics: Meter,
): SpendLedger {
  return {
    reserve(charges, spend, signal, session) {
      windows.note(charges);
      const reserve = () => ledger.reserve(charges, spend, signal, session);
      return time(metrics, 'ledger', () =>
        traceStep('ledger', { windows: charges.length }, reserve),
      );
    },
    usage: (charges) => ledger.usage(charges),
    checkHealth: () => ledger.checkHealth(),
    close: () => ledger.close(),
  };
}
