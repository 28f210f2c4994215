import { InternalError } from '../errors.ts';
import { Grant } from '../keys/grant.ts';
import type { Intent } from '../keys/intents.ts';

export type GrantAuthority = {
  /** Only policy holds this. */
  issue(intent: Intent): Grant;
  /**
   * Only the key gate holds this: the Intent of a grant, which is used up by the call. Throws `GRANT_INVALID` for a
   * grant that was not issued here, was used, or has expired.
   */
  redeem(grant: Grant): Intent;
};

/** A grant outlives the longest request, and nothing more. */
const grantLifetimeMs = 30_000;

/** `nowMs` is monotonic. */
export function createGrantAuthority(nowMs: () => number): GrantAuthority {
  const issued = new WeakMap<Grant, { intent: Intent; expiresAtMs: number }>();
  return {
    issue(intent) {
      const grant = new Grant();
      issued.set(grant, { intent, expiresAtMs: nowMs() + grantLifetimeMs });
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
      return entry.intent;
    },
  };
}
