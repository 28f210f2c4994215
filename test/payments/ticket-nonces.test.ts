import { expect, it } from 'vitest';
import { nonceLifetimeMs } from '../../src/payments/ticket-nonces.ts';

it.each([
  [40n, 720_000],
  [2n, 600_000],
  [100n, 1_800_000],
  [4_800n, 86_400_000],
  [2n ** 256n, 86_400_000],
])('nonces of parameters that expire in %s blocks are remembered for %s ms', (blocks, ms) => {
  expect(nonceLifetimeMs(21_000_000n + blocks, 21_000_000n)).toBe(ms);
});
