import { afterEach, describe, expect, it } from 'vitest';
import { expectPaid } from '../payments/expectations.ts';
import { expectFailure, patiently } from './evidence.ts';
import { type GuardedSigner, firstPayment, startGuardedSigner } from './guarded-signer.ts';

const policy = `default: allow
rules: [{ id: hourly, window: { per: all, every: 1h, tickets: 5 } }]`;

let signer: GuardedSigner;
afterEach(() => signer.close());

const hour = 3_600n * 1_000_000_000n;

describe('a clock that is stepped by a day,', () => {
  it.each([
    ['forward', 24n * hour],
    ['back', -24n * hour],
  ])(
    '%s, has nothing signed until the delegation for sealing has renewed itself, and takes nothing out of windows',
    async (_direction, step) => {
      signer = await startGuardedSigner({ policy });
      signer.sealNow = BigInt(Date.now()) * 1_000_000n + step;
      expectFailure(
        signer,
        await signer.post(await firstPayment(5)),
        503,
        'STATE_DELEGATION_ENDED',
      );
      expect(signer.key.digests).toHaveLength(0);
      const isRenewed = () => signer.logLines.some(({ msg }) => String(msg).endsWith('renewed'));
      await expect.poll(isRenewed, patiently).toBe(true);
      expectPaid(await signer.post(await firstPayment(5)));
      expectFailure(signer, await signer.post(await firstPayment(1)), 429, 'WINDOW_EXHAUSTED');
    },
  );
});
