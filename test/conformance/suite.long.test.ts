import { expect, it } from 'vitest';
import { type Defect, failureOfCase } from './memory-key.ts';

const forever = (): Promise<never> => Promise.withResolvers<never>().promise;

const defects: readonly {
  readonly provider: string;
  readonly defect: Defect;
  readonly failing: string;
  readonly message: RegExp;
}[] = [
  {
    provider: 'never gives its public key',
    defect: () => ({ getPublicKey: forever }),
    failing: 'gives its public key as 65 bytes',
    message: /^expected getPublicKey to settle in 15000 ms; found that it hangs$/,
  },
  {
    provider: 'forgets the calls under way when it is closed',
    defect: (key) => ({
      signDigest: (digest, options) => key.signDigest(digest, options).catch(forever),
    }),
    failing: 'ends the calls under way when it is closed',
    message: /^expected calls under way to settle in 15000 ms; found that it hangs$/,
  },
  {
    provider: 'does not end its close',
    defect: () => ({ close: forever }),
    failing: 'can be closed twice',
    message: /^expected close to settle in 15000 ms; found that it hangs$/,
  },
];

it.each(defects)('finds a provider that $provider', async ({ defect, failing, message }) => {
  expect(await failureOfCase(failing, defect)).toMatch(message);
});
