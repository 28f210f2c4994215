import { expect } from 'vitest';
import { soon } from '../support/soon.ts';
import type { SdkProcess } from './sdk-process.ts';
import { type SdkWorld, paymentTypes } from './sdk-world.ts';

const payload = { question: 'what is sent comes back' };

/**
 * Has an SDK find runners of every payment type, call each once, and keep a session of each paid, so that orchestrators take
 * `payments` for each metered one. Checks that they took every payment that the signer made.
 */
export async function payEveryType(
  world: SdkWorld,
  sdk: SdkProcess,
  payments: number,
): Promise<void> {
  await sdk.do('use', { signerUrl: world.signerUrl });
  for (const type of paymentTypes) {
    expect(await sdk.do('call', { app: `${type}/echo`, payload })).toMatchObject(payload);
  }
  const sessions = new Map<string, string>();
  for (const type of paymentTypes) {
    const session = (await sdk.do('reserve', { app: `${type}/session` })) as string;
    sessions.set(type, session);
    expect(await sdk.do('call-session', { session, payload })).toMatchObject(payload);
    expect(await sdk.do('is-paying', { session })).toBe(type !== 'fixed');
  }
  for (const [type, session] of sessions) {
    if (type === 'fixed') continue;
    await soon(() => {
      expect(world.accountOf(session).acceptedPayments).toBeGreaterThanOrEqual(payments);
    });
    expect(await sdk.do('is-paying', { session })).toBe(true);
    expect(world.accountOf(session).droppedAtNs).toBeUndefined();
  }
  for (const session of sessions.values()) await sdk.do('stop', { session });
  expect(world.accountsOf('fixed').map(({ acceptedPayments }) => acceptedPayments)).toEqual([1, 1]);
  expectAllTaken(world, { stopped: 4 });
}

/**
 * `stopped` is the number of sessions and calls that may have ended, and with them the SDK's payments, between the signer's answer
 * and the delivery.
 */
export function expectAllTaken(world: SdkWorld, { stopped }: { stopped: number }): void {
  const { payments, rejections } = world.taken;
  expect(rejections).toEqual([]);
  const made = world.answered(200);
  expect(payments).toBeLessThanOrEqual(made);
  expect(payments).toBeGreaterThanOrEqual(made - stopped);
}
