/**
 * A process of its own, so that a test can give it another machine's environment: opens the key of the configuration in its
 * argument, signs, closes, and prints as JSON how that went and everything that could be seen of it.
 */
import { inspect } from 'node:util';
import { plugin } from '../../../plugins/gcp-kms/index.ts';
import { ProviderError } from '../../../src/keys/provider.ts';
import { patient, recordingContext } from './open-key.ts';

const config = plugin.configSchema.parse(JSON.parse(process.argv[2] ?? ''));
const context = recordingContext();
const seen: unknown[] = [context.lines];
let failure: unknown;
try {
  const provider = await plugin.open(config, context);
  seen.push(provider, await provider.describeKey?.(patient));
  await provider.signDigest(new Uint8Array(32), patient).finally(() => provider.close());
} catch (error) {
  failure = error;
  seen.push(error);
}
process.stdout.write(
  JSON.stringify({
    isProviderError: failure instanceof ProviderError,
    ...(failure instanceof ProviderError
      ? { code: failure.code, message: failure.message, details: failure.details }
      : { failure: inspect(failure) }),
    seen: seen.map((value) => inspect(value, { depth: Infinity, showHidden: true })).join('\n'),
  }),
);
