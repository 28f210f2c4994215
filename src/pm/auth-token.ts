import type { Refusal } from './refusal.ts';

/** A tenth of the 30 minutes that an orchestrator's auth token is valid, in seconds. */
const refreshBeforeExpirySeconds = 180n;

/**
 * Refuses an auth token in its last 180 seconds, so that the caller fetches a new one in time.
 * `expiration` is in Unix seconds, `now` in Unix nanoseconds (go-livepeer `shouldRefreshSession`).
 */
export function refuseExpiringAuthToken(expiration: bigint, now: bigint): Refusal | undefined {
  return now > (expiration - refreshBeforeExpirySeconds) * 1_000_000_000n
    ? { code: 'AUTH_TOKEN_EXPIRING', data: { expiresAtSeconds: expiration } }
    : undefined;
}
