import { type ApiKeys, createApiKeyMethod } from '../auth/api-keys.ts';
import { type AuthMethod, type Authenticator, createAuthenticator } from '../auth/authenticator.ts';
import { createCertificateMethod } from '../auth/mtls.ts';
import { parseApiKeyFile } from '../config/api-key-file.ts';
import { readDocument } from '../config/document-thread.ts';
import type { Config } from '../config/load.ts';
import { type WatchedFileState, openWatchedFile } from '../config/watched-file.ts';
import type { Logger } from '../telemetry/logger.ts';

/** How callers prove who they are, as the configuration says. */
export type Authentication = {
  readonly authenticate: Authenticator;
  /** the state of the files that are read again when they change */
  readonly files: readonly WatchedFileState[];
  /** Stops watching the file of API keys. */
  close(): void;
};

/** The time for fetching an issuer's keys, within the request's deadline. */
const jwksTimeoutMs = 2_000;

/** `nowMs` is Unix milliseconds. Throws `CONFIG_INVALID` when the file of API keys can't be used. */
export async function openAuthentication(
  { settings: { auth, server }, resolvePath }: Config,
  logger: Logger,
  nowMs: () => number,
): Promise<Authentication> {
  const methods: AuthMethod[] = [];
  const keyFile =
    auth.apiKeys &&
    openWatchedFile<ApiKeys>({
      path: resolvePath(auth.apiKeys.file),
      parse: parseApiKeyFile,
      parseLater: async (text, path) => {
        const keys = await readDocument('API keys', text, path);
        return () => keys;
      },
      log: (level, message, fields) => logger[level](fields, message),
    });
  if (keyFile) methods.push(createApiKeyMethod(() => keyFile.current(), nowMs));
  if (auth.jwt) {
    // loaded only where tokens are accepted
    const { createJwtMethod } = await import('../auth/jwt.ts');
    const timeoutMs = Math.min(jwksTimeoutMs, server.requestDeadlineMs);
    methods.push(createJwtMethod(auth.jwt, { nowMs, timeoutMs }));
  }
  if (auth.mtls) {
    const rules = auth.mtls.map(({ subject, san, principal, tenant = '', attributes }) => ({
      subject,
      san,
      principal: { id: principal, tenant, attributes },
    }));
    methods.push(createCertificateMethod(rules, nowMs));
  }
  return {
    authenticate: createAuthenticator(methods),
    files: keyFile
      ? [
          {
            setting: 'auth.apiKeys.file',
            problem: () => keyFile.problem(),
            history: () => keyFile.history(),
          },
        ]
      : [],
    close: () => keyFile?.close(),
  };
}
