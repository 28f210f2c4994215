import { randomBytes } from 'node:crypto';
import type { Caller } from '../auth/authorization.ts';
import { type Principal, principalOfAuthId } from '../auth/principal.ts';
import { type ErrorData, errorFamilies } from '../errors.ts';
import type { KeyJournal } from '../keys/key-journal.ts';
import type { WindowUsage } from '../policy/limits/reserve.ts';
import { spendKinds } from '../policy/limits/windows.ts';
import type { DenialRecorder } from './denials.ts';
import type { SwitchUse } from '../policy/switch/signing-switch.ts';
import { RefusalError } from './refusal-error.ts';

type Texts = Readonly<Record<string, string | number | boolean>>;

type Field = string | number | undefined | Texts | readonly string[] | readonly Texts[];

type Fields = { readonly kind: string; readonly [field: string]: Field };

/** What a journal needs of the audit log. */
export type JournalLog = {
  /** Resolves once the record survives the process. Throws `AUDIT_UNAVAILABLE`. */
  write(record: Fields): Promise<void>;
  /** Resolves once the record is on disk. Throws `AUDIT_UNAVAILABLE`. */
  append(record: Fields): Promise<void>;
};

/** For records that nobody waits for: where they fail, the log itself says how many it lost. */
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
        traceId: reason.traceId,
        clientRequestId: reason.clientRequestId,
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
        models: reason.models?.map((model) => clip(model)),
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
 * Records denials, except those of strangers, so that they can't fill the disk. A stranger is a caller that nobody has
 * authenticated and that is refused for this reason; where `webhookKnowsCallers`, and so nobody but the webhook does, also a
 * caller that is refused before the webhook has accepted it.
 */
export function createDenialRecorder(
  log: JournalLog,
  { webhookKnowsCallers }: { readonly webhookKnowsCallers: boolean },
): DenialRecorder {
  return ({ error, requestId, caller, sender, seen }) => {
    const refusal = error instanceof RefusalError ? error : undefined;
    const vouchedFor = refusal?.principal;
    const principal = vouchedFor ?? callerPrincipal(caller);
    const mayBeAnybody = webhookKnowsCallers && !vouchedFor;
    if (isStranger(principal) && (mayBeAnybody || errorFamilies[error.code] === 'caller')) return;
    const { amounts, subject, models, usage } = seen;
    const record = {
      kind: 'denied',
      request: requestId,
      traceId: caller.trace?.traceId,
      clientRequestId: caller.trace?.clientRequestId,
      principal: clip(principal.id),
      tenant: clip(principal.tenant),
      code: error.code,
      rule: error.data.ruleId,
      data: clipAll(error.data),
      message: clip(error.message),
      sender,
      amounts: clipAll(amounts),
      subject: clipAll(subject),
      models: models?.map((model) => clip(model)),
      usage: clipAll(usage),
      windows: refusal?.windows?.flatMap(describeWindow),
    };
    dontWait(log.write(record));
  };
}

/** Records a use of the switch that stops signing. Resolves once the record is on disk. Throws `AUDIT_UNAVAILABLE`. */
export function createSwitchRecorder(log: JournalLog): (use: SwitchUse) => Promise<void> {
  return (use) => log.append(use);
}

/** Records which policy file is in force from now on. */
export function createPolicyRecorder(log: JournalLog): (sha256: string) => void {
  return (sha256) => dontWait(log.write({ kind: 'policy', sha256 }));
}

/** What a trusted proxy says of the caller counts as its credential does. */
const callerPrincipal = ({ principal, authId }: Caller): Principal =>
  isStranger(principal) ? principalOfAuthId(authId) : principal;

const isStranger = ({ id }: Principal): boolean => id === '';

const longestText = 256;

/** A caller's text, cut so that a record stays small. */
function clip(text: string): string;
function clip(text: string | undefined): string | undefined;
function clip(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= longestText) return text;
  // half a character is no JSON to some who read the log
  return `${text.slice(0, longestText).toWellFormed()}…`;
}

/** Values with their texts cut, and without those that are undefined. */
function clipAll(values: ErrorData | undefined): Texts | undefined {
  if (!values) return undefined;
  const entries = Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [[name, typeof value === 'string' ? clip(value) : value] as const];
  });
  return Object.fromEntries(entries);
}

/** A row for each limit of a window. */
function describeWindow({ charge, spent }: WindowUsage): Texts[] {
  const { ruleId: rule, scope, windowMs, limits } = charge;
  return spendKinds.flatMap((limit) => {
    const maximum = limits[limit];
    if (maximum === undefined) return [];
    const headroom = maximum > spent[limit] ? maximum - spent[limit] : 0n;
    const amounts = { maximum: `${maximum}`, spent: `${spent[limit]}`, headroom: `${headroom}` };
    return [{ rule, scope: clip(scope), windowMs, limit, ...amounts }];
  });
}

function toHexDigits({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex');
}

const toMicroPrecision = (milliseconds: number): number => Math.round(milliseconds * 1e3) / 1e3;
