import type { AdminSource } from '../admin-source.ts';

/** A denial as it is recorded in the audit log. */
export type RecordedDenial = {
  /** RFC 3339 */
  readonly time: string;
  readonly code: string;
  readonly requestId: string;
  /** the record's other members, as text */
  readonly facts: Readonly<Record<string, string>>;
};

/** The end of a chain of the audit log. */
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
  /** RFC 3339, when `audit verify` last found all chains intact; undefined where that is not known */
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
  /** the state can't be read, or there is no place to keep it */
  | { readonly kind: 'unknown'; readonly why: string };

/** The sources of the operator's page. */
export type PageSource = AdminSource & {
  /** undefined where there is no audit log, or it can't be read */
  readonly readAudit: () => Promise<AuditView | undefined>;
  readonly readSwitch: () => Promise<SwitchView>;
  /** Throws `SIGNING_SWITCH_UNAVAILABLE`, `AUDIT_UNAVAILABLE` and `CONFIG_INVALID`. */
  readonly pause: (order: { readonly by: string; readonly reason: string }) => Promise<void>;
  /** Throws as `pause`. */
  readonly resume: (order: { readonly by: string }) => Promise<void>;
};
