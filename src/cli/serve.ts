import { loadConfig } from '../config/load.ts';
import { overridePrefix } from '../config/overrides.ts';
import { startSigner } from '../main.ts';
import { createLogger } from '../ops/logger.ts';

/**
 * A second signal ends the program at once, but not within this time: Ctrl-C may come twice under npm, from the terminal
 * and passed on.
 */
const repeatedSignalMs = 1_000;

/** `serve`: runs until SIGINT or SIGTERM, then lets requests under way finish. */
export async function serve(options: { config: string; listen?: string }): Promise<void> {
  const environment =
    options.listen === undefined
      ? process.env
      : { ...process.env, [`${overridePrefix}SERVER__LISTEN`]: JSON.stringify(options.listen) };
  const config = await loadConfig(options.config, environment);
  const logger = createLogger(config.settings.log.level);
  const signer = await startSigner(config, logger);
  if (signer.isNewKey) process.stdout.write(`made a new key for ${signer.checksumAddress}\n`);
  process.stdout.write(
    `livepeer-signer is listening on ${signer.url} as ${signer.checksumAddress}\n`,
  );
  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    logger.info({ signal }, 'stopping');
    void signer.close().then(() => logger.info('stopped'));
    setTimeout(() => process.off('SIGINT', stop).off('SIGTERM', stop), repeatedSignalMs).unref();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
}
