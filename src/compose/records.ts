import type { Config } from '../config/load.ts';
import type { WatchedFileState } from '../config/watched-file.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { HealthCheck } from '../admin/readiness.ts';
import type { DenialRecorder } from '../payments/denials.ts';
import type { CompiledPolicy } from '../policy/rules/compile.ts';
import { findDenialOfEverything } from '../policy/rules/lint.ts';
import { SignerError } from '../errors.ts';
import type { SpendLedger } from '../policy/limits/ledger.ts';
import type { AnswerMemory } from '../session/answer-memory.ts';
import { openAudit } from './audit.ts';
import { openEvents } from './events.ts';
import type { EventEncoder } from '../payments/payment-event.ts';
import type { KeySurroundings } from './key.ts';
import { RecentWindows, meterAnswers, meterAudit, meterLedger } from './meters.ts';
import { openStore } from './store.ts';
import { workerSlot } from './this-worker.ts';
import { hasLedger, openRules } from './rules.ts';

/** Everything that the signer remembers, and the rules that it is remembered for. */
export type Records = KeySurroundings &
  AsyncDisposable & {
    readonly answers: AnswerMemory;
    readonly recordDenial: DenialRecorder;
    readonly encodeEvent: EventEncoder | undefined;
    readonly healthChecks: readonly HealthCheck[];
    /** the state of the policy file, even where there is none */
    readonly policyFile: WatchedFileState;
  };

/** The audit log's chain of this process. */
const serverChain = `server-${workerSlot()}`;

/**
 * Opens audit log, policy file, answer memory, and the spend ledger where a rule needs it. Throws `CONFIG_INVALID`,
 * `AUDIT_UNAVAILABLE` and `LEDGER_UNAVAILABLE`; nothing is left open then.
 */
export async function openRecords(
  config: Config,
  logger: Logger,
  metrics: Pick<Metrics, 'dependencyAsked' | 'watchWindows'>,
): Promise<Records> {
  await using opened = new AsyncDisposableStack();
  const audit = await openAudit(config, logger, serverChain);
  opened.defer(() => audit.close());
  const events = await openEvents(config, serverChain);
  opened.defer(() => events?.close());
  const rules = openRules(config, logger, (sha256) => audit.recordPolicy(sha256));
  opened.defer(() => rules.close());
  const store = await openStore(config, logger);
  opened.defer(() => store.close());

  const { signingSwitch, signingPermit } = store;
  const inRedis = config.settings.store.kind === 'redis';
  const isLedgerConfigured = hasLedger(config.settings.store);
  const needsLedger = (): boolean => {
    const { hasWindows, limitsSessionEv } = rules.current();
    return hasWindows || (limitsSessionEv && isLedgerConfigured);
  };
  let ledger: Promise<SpendLedger> | undefined;
  const windows = new RecentWindows();
  metrics.watchWindows(async () => (ledger ? windows.sample(await ledger) : []));
  const useLedger = (): Promise<SpendLedger> => {
    ledger ??= store.openLedger().then(
      (opened) => meterLedger(opened, windows, metrics),
      (error: unknown) => {
        ledger = undefined;
        throw error;
      },
    );
    return ledger;
  };
  opened.defer(async () => (await ledger)?.close());
  if (needsLedger()) await useLedger();
  // the switch must be known before the key is asked for its first signatures; while it can't be read, nothing is signed
  await signingSwitch?.read().catch(() => undefined);

  const kept = opened.move();
  return {
    journal: config.settings.audit ? meterAudit(audit.journal, metrics) : audit.journal,
    recordDenial: audit.recordDenial,
    encodeEvent: events?.encode,
    rules: () => rules.current(),
    ledger: isLedgerConfigured ? useLedger : undefined,
    answers: inRedis ? meterAnswers(store.answers, metrics) : store.answers,
    signingPermit,
    policyFile: {
      setting: 'policy.file',
      problem: () => rules.problem(),
      history: () => rules.history(),
    },
    healthChecks: [
      { name: 'signing', check: () => signingPermit.require() },
      { name: 'policy', check: () => requireSomethingAllowed(rules.current()) },
      { name: 'audit', check: () => audit.checkHealth() },
      ...(events ? [{ name: 'events', check: () => events.checkHealth() }] : []),
      { name: 'answers', check: () => store.answers.checkHealth() },
      {
        name: 'ledger',
        check: async () => {
          if (needsLedger()) await (await useLedger()).checkHealth();
        },
      },
    ],
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Refuses rules that deny every payment: throws `NO_RULE_ALLOWS`. */
function requireSomethingAllowed(policy: CompiledPolicy): void {
  const denial = findDenialOfEverything(policy);
  if (denial !== undefined) throw new SignerError('NO_RULE_ALLOWS', denial);
}
