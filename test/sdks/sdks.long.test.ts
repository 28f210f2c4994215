import { describe, it } from 'vitest';
import { payEveryType } from './pay-every-type.ts';
import { SdkProcess } from './sdk-process.ts';
import { SdkWorld } from './sdk-world.ts';

describe.each(['python', 'web'] as const)('the SDK for %s', (name) => {
  it('has 200 payments taken, of every type', async () => {
    await using world = await SdkWorld.start();
    const sdk = new SdkProcess(name);
    try {
      await payEveryType(world, sdk, 99);
    } finally {
      await sdk.close();
    }
  });
});
