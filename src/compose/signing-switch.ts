import type { Config } from '../config/load.ts';
import { ConfigError, isSigningStopped } from '../errors.ts';
import {
  type SigningPermit,
  type SigningSwitch,
  createSigningSwitch,
} from '../policy/switch/signing-switch.ts';
import type { Logger } from '../telemetry/logger.ts';
import { openAudit } from './audit.ts';
import { openStore } from './store.ts';

/**
 * Opens the switch that stops all signing, for the command line or the operators' page. Each use is recorded in its own chain of
 * the audit log, which is held open only for that moment. Throws `CONFIG_INVALID` where there is no place to keep the switch.
 */
export async function openSigningSwitch(
  config: Config,
  logger: Logger,
  auditChain: string,
): Promise<SigningSwitch & AsyncDisposable> {
  const store = await openStore(config, logger);
  const { signingSwitch } = store;
  if (!signingSwitch) {
    await store.close();
    throw new ConfigError(
      'CONFIG_INVALID',
      'nothing says where to keep the switch that stops signing, so that it holds over a restart: set audit.path, store.path, or ' +
        'store.kind: redis',
    );
  }
  const opened = createSigningSwitch({
    store: signingSwitch,
    async record(use) {
      const audit = await openAudit(config, logger, auditChain);
      await audit.recordSwitch(use).finally(() => audit.close());
    },
    now: () => new Date(),
  });
  return { ...opened, [Symbol.asyncDispose]: () => store.close() };
}

const lookIntervalMs = 1_000;

/** Checks the switch each second, and logs when it was used. */
export function watchSigning(
  permit: SigningPermit,
  logger: Logger,
): { isStopped(): boolean; close(): void } {
  let stoppedBy: string | undefined;

  async function look(): Promise<void> {
    try {
      await permit.require();
      if (stoppedBy !== undefined) logger.warn({}, 'signing goes on');
      stoppedBy = undefined;
    } catch (error) {
      if (!isSigningStopped(error)) throw error;
      const { code, message, details } = error;
      if (stoppedBy !== code) logger.warn({ code, reason: message, details }, 'signing is stopped');
      stoppedBy = code;
    }
  }

  void look();
  const timer = setInterval(() => void look(), lookIntervalMs).unref();
  return {
    isStopped: () => stoppedBy !== undefined,
    close: () => clearInterval(timer),
  };
}
