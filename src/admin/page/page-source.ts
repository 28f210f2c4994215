import type { AdminSource } from '../admin-source.ts';

/** A denial as the audit log has it. */
export type RecordedDenial = {
  /** RFC 3339 */
  readonly time: string;
  readonly code: string;
  readonly requestId: string;
  /** the record's other members, as text */
  readonly facts: Readonly<Record<string, string>>;
};

/** Where a chain of the audit log ends. */
export type AuditHead = {
  readonly chain: string;
  readonly seq: number;
  /** 64 hex digits */
  readonly hash: string;
  /** RFC 3339 */
  readonly writtenAt: string;
};

export type AuditView = {
  readonly heads: readonly AuditHead[];
  /** the newest first */
  readonly denials: readonly RecordedDenial[];
  /** RFC 3339, when `audit verify` last found all of it whole; undefined where nobody knows */
  readonly verifiedAt: string | undefined;
};

export type SwitchView =
  | { readonly kind: 'signing' }
  | {
      readonly kind: 'paused';
      readonly by: string;
      readonly reason: string;
      readonly since: string;
    }
  /** nobody can tell, or there is no place to keep it */
  | { readonly kind: 'unknown'; readonly why: string };

/** What the operator's page is made of. */
export type PageSource = AdminSource & {
  /** undefined where there is no audit log, or it can't be read */
  readonly readAudit: () => Promise<AuditView | undefined>;
  readonly readSwitch: () => Promise<SwitchView>;
  /** Throws `SIGNING_SWITCH_UNAVAILABLE`, `AUDIT_UNAVAILABLE` and `CONFIG_INVALID`. */
  readonly pause: (order: { readonly by: string; readonly reason: string }) => Promise<void>;
  /** Throws as `pause`. */
  readonly resume: (order: { readonly by: string }) => Promise<void>;
};
