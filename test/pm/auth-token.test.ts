import { expect, it } from 'vitest';
import { refuseExpiringAuthToken } from '../../src/pm/auth-token.ts';

it('an auth token is refused in its last 180 seconds, to the nanosecond, and its end is told', () => {
  const lastUsable = 820n * 1_000_000_000n;
  expect(refuseExpiringAuthToken(1_000n, lastUsable)).toBeUndefined();
  expect(refuseExpiringAuthToken(1_000n, lastUsable + 1n)).toEqual({
    code: 'AUTH_TOKEN_EXPIRING',
    data: { expiresAtSeconds: 1_000n },
  });
});
