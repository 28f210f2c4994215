import { InternalError } from '../errors.ts';
import { Grant, type GrantReason, type Permission } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';

export type GrantAuthority = {
  /** For policy only: permits an intent once, for a short time. */
  issue(intent: Intent, reason: GrantReason): Grant;
  /**
   * For the key gate only: tells what a grant permits, and why. The call uses the grant up. Throws `GRANT_INVALID` for a grant
   * that was not issued here, was used, or has expired.
   */
  redeem(grant: Grant): Permission;
};

/** How long a grant may be used: longer than the longest request takes, and no more. */
const grantLifetimeMs = 30_000;

/** `nowMs` is a monotonic clock in milliseconds. */
export function createGrantAuthority(nowMs: () => number): GrantAuthority {
  const issued = new WeakMap<Grant, { permission: Permission; expiresAtMs: number }>();
  return {
    issue(intent, reason) {
      const grant = new Grant();
      issued.set(grant, { permission: { intent, reason }, expiresAtMs: nowMs() + grantLifetimeMs });
      return grant;
    },
    redeem(grant) {
      const entry = issued.get(grant);
      issued.delete(grant);
      if (!entry) {
        throw new InternalError('GRANT_INVALID', 'the grant was never issued, or was used before');
      }
      if (nowMs() > entry.expiresAtMs) {
        throw new InternalError('GRANT_INVALID', 'the grant has expired');
      }
      return entry.permission;
    },
  };
}
