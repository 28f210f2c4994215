import { hostname, userInfo } from 'node:os';
import { openSigningSwitch } from '../compose/signing-switch.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { isSignerError } from '../errors.ts';
import { createLogger } from '../telemetry/logger.ts';

/** The audit log's chain for commands. */
const auditChain = 'cli';

/** `pause`: stops all signing except self-tests. Throws where that did not take effect, or was not recorded. */
export async function pauseSigning(options: { config: string; reason: string }): Promise<void> {
  const config = await loadConfig(options.config);
  await using signing = await openSigningSwitch(config, createLogger('error'), auditChain);
  const announce = (): void => {
    process.stdout.write(
      `signing is paused: no payment that begins now is signed, by any ${describeReach(config)}; resume lets it go on\n`,
    );
  };
  try {
    await signing.pause({ by: operator(), reason: options.reason });
  } catch (error) {
    // the pause has taken effect, but was not recorded
    if (isSignerError(error) && error.code === 'AUDIT_UNAVAILABLE') announce();
    throw error;
  }
  announce();
}

/** `resume`: lets the key sign again. */
export async function resumeSigning(options: { config: string }): Promise<void> {
  const config = await loadConfig(options.config);
  await using signing = await openSigningSwitch(config, createLogger('error'), auditChain);
  await signing.resume({ by: operator() });
  process.stdout.write(`signing goes on, by every ${describeReach(config)}\n`);
}

function describeReach({ settings: { store } }: Config): string {
  return store.kind === 'redis' ? 'instance that shares this Redis' : 'worker of this signer';
}

/** The user at the keyboard, as the operating system knows it. */
function operator(): string {
  const { SUDO_USER: before } = process.env;
  const { username } = userInfo();
  return `${username}@${hostname()}${before === undefined ? '' : ` (sudo by ${before})`}`;
}
