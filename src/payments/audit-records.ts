import { randomBytes } from 'node:crypto';
import type { Caller } from '../auth/authorization.ts';
import { type Principal, principalOfAuthId } from '../auth/principal.ts';
import { type ErrorData, errorFamilies } from '../errors.ts';
import type { KeyJournal } from '../keys/key-journal.ts';
import type { DenialRecorder } from './denials.ts';
import type { SwitchUse } from '../policy/switch/signing-switch.ts';
import { RefusalError } from './refusal-error.ts';

type Field = string | number | undefined | readonly string[] | Readonly<Record<string, string>>;

type Fields = { readonly kind: string; readonly [field: string]: Field };

/** What a journal needs of the audit log. */
export type JournalLog = {
  /** Resolves once the record survives the process. Throws `AUDIT_UNAVAILABLE`. */
  write(record: Fields): Promise<void>;
  /** Resolves once the record is on disk. Throws `AUDIT_UNAVAILABLE`. */
  append(record: Fields): Promise<void>;
};

/** Where nobody waits for a record, the log itself says how many it lost. */
const dontWait = (recorded: Promise<void>): void => void recorded.catch(() => undefined);

/** Records each use of the key: `key-use` before the key is called, `signed` or `failed` after, tied by the use's id. */
export function createKeyUseJournal(log: JournalLog): KeyJournal {
  const process = randomBytes(8).toString('hex');
  let uses = 0;
  return {
    async begin({ sender, keyRef, intent, digests, reason }) {
      uses += 1;
      const use = `${process}-${uses}`;
      await log.write({
        kind: 'key-use',
        use,
        request: reason.requestId,
        principal: clip(reason.principal),
        tenant: clip(reason.tenant),
        intent: intent.kind,
        digests: digests.map(toHexDigits),
        key: keyRef,
        sender,
        verdict: 'allow',
        rules: reason.rules,
        observed: reason.observed,
        amounts: reason.amounts,
        subject: clipAll(reason.subject),
        usage: clipAll(reason.usage),
      });
      return {
        signed: (durationMs, event) =>
          log.append({
            kind: 'signed',
            use,
            signatures: digests.length,
            latencyMs: toMicroPrecision(durationMs),
            event,
          }),
        failed: (code, durationMs) =>
          dontWait(
            log.write({ kind: 'failed', use, code, latencyMs: toMicroPrecision(durationMs) }),
          ),
      };
    },
  };
}

/**
 * Records denials. Strangers are left out, so that they can't fill the disk: a caller that nobody has authenticated and that is
 * refused as such; and where `webhookKnowsCallers`, since nobody else does, whoever is refused before the webhook has vouched for
 * it.
 */
export function createDenialRecorder(
  log: JournalLog,
  { webhookKnowsCallers }: { readonly webhookKnowsCallers: boolean },
): DenialRecorder {
  return ({ error, requestId, caller, subject }) => {
    const refusal = error instanceof RefusalError ? error : undefined;
    const vouchedFor = refusal?.principal;
    const principal = vouchedFor ?? callerPrincipal(caller);
    const mayBeAnybody = webhookKnowsCallers && !vouchedFor;
    if (isStranger(principal) && (mayBeAnybody || errorFamilies[error.code] === 'caller')) return;
    const record = {
      kind: 'denied',
      request: requestId,
      principal: clip(principal.id),
      tenant: clip(principal.tenant),
      code: error.code,
      rule: error.data.ruleId,
      data: clipAll(toTexts(error.data)),
      message: clip(error.message),
      subject: clipAll(subject),
    };
    dontWait(log.write(record));
  };
}

/** Records a use of the switch that stops signing. It resolves once that is on disk. Throws `AUDIT_UNAVAILABLE`. */
export function createSwitchRecorder(log: JournalLog): (use: SwitchUse) => Promise<void> {
  return (use) => log.append(use);
}

/** Records which policy file is in force from now on. */
export function createPolicyRecorder(log: JournalLog): (sha256: string) => void {
  return (sha256) => dontWait(log.write({ kind: 'policy', sha256 }));
}

/** A trusted proxy's word counts as a credential does. */
const callerPrincipal = ({ principal, authId }: Caller): Principal =>
  isStranger(principal) ? principalOfAuthId(authId) : principal;

const isStranger = ({ id }: Principal): boolean => id === '';

const longestText = 256;

/** A caller's text, so long that a record stays small. */
function clip(text: string): string;
function clip(text: string | undefined): string | undefined;
function clip(text: string | undefined): string | undefined {
  return text === undefined || text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}

function toTexts(data: ErrorData): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, String(value)]));
}

function clipAll(texts: Readonly<Record<string, string>> | undefined) {
  return (
    texts && Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, clip(text)]))
  );
}

function toHexDigits({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex');
}

const toMicroPrecision = (milliseconds: number): number => Math.round(milliseconds * 1e3) / 1e3;
