import type { TlsOptions } from 'node:tls';
import type { Config } from '../config/load.ts';
import { openWatchedFile } from '../config/watched-file.ts';
import { type TlsFiles, readTlsFiles } from '../http/tls.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The files of a listener's TLS section, with absolute paths. */
export function toTlsFiles(
  { resolvePath }: Pick<Config, 'resolvePath'>,
  setting: string,
  tls: Config['settings']['server']['tls'],
): TlsFiles | undefined {
  return (
    tls && {
      setting,
      cert: resolvePath(tls.cert),
      key: resolvePath(tls.key),
      clientCa: tls.clientCa && resolvePath(tls.clientCa),
    }
  );
}

/**
 * Watches the files, and gives `renew` their content whenever one of them has changed and all of them fit together. Until then
 * the content in force stays, and the log says why.
 */
export function watchTlsFiles(
  files: TlsFiles,
  logger: Logger,
  renew: (options: TlsOptions) => void,
): { close(): void } {
  const paths = [files.cert, files.key, files.clientCa].filter((path) => path !== undefined);
  const watched = paths.map((path) =>
    openWatchedFile({
      path,
      parse: () => renew(readTlsFiles(files)),
      log: (level, message, fields) => logger[level](fields, message),
    }),
  );
  return { close: () => watched.forEach((file) => file.close()) };
}
