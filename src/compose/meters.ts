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
    // a refusal is an answer
    isOk = error instanceof WebhookRejectionError;
    throw error;
  } finally {
    metrics.dependencyAsked(dependency, isOk, (performance.now() - startedAt) / 1000);
  }
}

/** Measures each use of the key in a journal; `provider` is the name of the key's provider. */
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

/** Measures each wait for the disk in the audit log's journal. */
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

/** Measures each question to the webhook; a refused payment is no failure of the webhook. */
export function meterWebhook(authorize: PaymentAuthorizer, metrics: Meter): PaymentAuthorizer {
  return (caller, projected, signal) =>
    time(metrics, 'webhook', () => authorize(caller, projected, signal));
}

/** Measures each claim in the answer memory. */
export function meterAnswers(answers: AnswerMemory, metrics: Meter): AnswerMemory {
  return {
    claim: (request, signal) => time(metrics, 'answers', () => answers.claim(request, signal)),
    checkHealth: () => answers.checkHealth(),
  };
}

/** How many windows are reported; those that were asked for longest ago are dropped. */
const maxWindows = 100;

/** The windows that payments were counted in lately. */
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

  /** The limit and the use of each of them. Throws `LEDGER_UNAVAILABLE`. */
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

/** Measures each reservation of the ledger, and notes its windows. */
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
