import { plugin } from '../../../plugins/gcp-kms/index.ts';
import type { KeyProvider, ProviderContext } from '../../../src/keys/provider.ts';
import type { GcpKmsWireServer } from '../../support/gcp-kms-wire-server.ts';

export type LogLine = {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
};

/** What the program gives a plugin, with the log kept. This plugin asks for no path and no secret. */
export function recordingContext(): ProviderContext & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  return {
    lines,
    log: (level, message, fields) => lines.push({ level, message, fields }),
    resolvePath: () => {
      throw new Error('no path expected');
    },
    readSecret: () => {
      throw new Error('no secret expected');
    },
  };
}

/** Opens the key of a server that runs without TLS, with settings as an operator would write them. */
export function openKey(
  server: GcpKmsWireServer,
  settings: Readonly<Record<string, unknown>> = {},
  context: ProviderContext = recordingContext(),
): Promise<KeyProvider> {
  return plugin.open(parseConfig(server, settings), context);
}

/** A checked configuration for a server that runs without TLS. */
export function parseConfig(
  server: GcpKmsWireServer,
  settings: Readonly<Record<string, unknown>> = {},
) {
  return plugin.configSchema.parse({
    keyVersion: server.keyVersion,
    endpoint: server.endpoint,
    insecure: true,
    requestsPerSecond: 1000,
    ...settings,
  });
}

/** Options of a call that nobody aborts. */
export const patient = { signal: new AbortController().signal };
