import { describe, expect, it } from 'vitest';
import { soon } from '../support/soon.ts';
import { expectAllTaken, payEveryType } from './pay-every-type.ts';
import { SdkProcess } from './sdk-process.ts';
import { SdkWorld } from './sdk-world.ts';

describe.each(['python', 'web'] as const)('the SDK for %s', (name) => {
  it('has 200 payments taken, of every type', async () => {
    await using world = await SdkWorld.start();
    const sdk = new SdkProcess(name);
    try {
      await payEveryType(world, sdk, 99);
      console.log(`${name}: ${world.taken.payments} payments taken, none refused`);
    } finally {
      await sdk.close();
    }
  });

  it('goes on with a session when the minute is over that a window had no room in', async () => {
    const policy = `default: allow
rules: [{ id: minute, window: { per: all, every: 1m, tickets: 12 } }]`;
    await using world = await SdkWorld.start({ policy });
    world.waitsForRoom = true;
    const sdk = new SdkProcess(name);
    try {
      await sdk.do('use', { signerUrl: world.signerUrl });
      const session = (await sdk.do('reserve', { app: 'live/session' })) as string;
      await soon(() => expect(world.answered(429)).toBeGreaterThan(0));
      const refusedFrom = performance.now();
      const before = world.accountOf(session).acceptedPayments;
      const paidMore = () => world.accountOf(session).acceptedPayments - before;
      while (paidMore() < 4) {
        expect(await sdk.do('is-paying', { session })).toBe(true);
        expect(performance.now() - refusedFrom).toBeLessThan(150_000);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const seconds = Math.round((performance.now() - refusedFrom) / 1000);
      console.log(
        `${name}: ${world.answered(429)} answers of 429 in ${seconds} s, then ${paidMore()} payments`,
      );
      expect(seconds).toBeGreaterThan(30);
      await sdk.do('stop', { session });
      expectAllTaken(world, { stopped: 1 });
    } finally {
      await sdk.close();
    }
  });
});
