import { asksForCredentials } from '../config/auth-schema.ts';
import type { Config } from '../config/load.ts';
import { type KeyJournal, noJournal } from '../keys/key-journal.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DenialRecorder } from '../payments/denials.ts';
import type { SwitchUse } from '../policy/switch/signing-switch.ts';
import { programVersion } from '../program-version.ts';

/** The audit log as the signer's parts see it. */
export type Audit = {
  readonly journal: KeyJournal;
  readonly recordDenial: DenialRecorder;
  /** Records which policy file is in force from now on, by its SHA-256. */
  recordPolicy(sha256: string): void;
  /** Resolves once it is on disk. Throws `AUDIT_UNAVAILABLE`. */
  recordSwitch(use: SwitchUse): Promise<void>;
  /** Throws `AUDIT_UNAVAILABLE`. */
  checkHealth(): Promise<void>;
  close(): Promise<void>;
};

const nothingRecorded: Audit = {
  journal: noJournal,
  recordDenial: () => undefined,
  recordPolicy: () => undefined,
  recordSwitch: () => Promise.resolve(),
  checkHealth: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

/** Opens this writer's chain of the audit log; where none is configured, nothing is recorded. Throws `AUDIT_UNAVAILABLE`. */
export async function openAudit(
  { settings: { audit, auth }, resolvePath }: Config,
  logger: Logger,
  chain: string,
): Promise<Audit> {
  if (!audit) return nothingRecorded;
  // loaded only where there is an audit log
  const { createAuditLog } = await import('../audit/audit-log.ts');
  const { createKeyUseJournal, createDenialRecorder, createPolicyRecorder, createSwitchRecorder } =
    await import('../payments/audit-records.ts');
  const log = await createAuditLog({
    folder: resolvePath(audit.path),
    chain,
    maxFileBytes: audit.maxFileBytes,
    log: (level, message, fields) => logger[level](fields, message),
    start: { version: programVersion() },
  });
  return {
    journal: createKeyUseJournal(log),
    recordDenial: createDenialRecorder(log, {
      webhookKnowsCallers: auth.webhook !== undefined && !asksForCredentials(auth),
    }),
    recordPolicy: createPolicyRecorder(log),
    recordSwitch: createSwitchRecorder(log),
    checkHealth: () => log.checkHealth(),
    close: () => log.close(),
  };
}
