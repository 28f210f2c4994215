import { ConfigError } from '../errors.ts';
import { asksForCredentials } from './auth-schema.ts';
import { isLoopback } from './loopback.ts';
import type { Settings } from './schema.ts';

/** Throws `CONFIG_INVALID` where anybody could pay, unless the configuration says that this is wanted. */
export function refuseOpenServer({ server, auth }: Pick<Settings, 'server' | 'auth'>): void {
  const isAuthenticated = asksForCredentials(auth) || auth.webhook !== undefined;
  if (isLoopback(server.listen.host) || isAuthenticated || server.allowUnauthenticatedPublic)
    return;
  throw new ConfigError(
    'CONFIG_INVALID',
    `server.listen: ${server.listen.host} can be reached from outside and nobody would be authenticated; ` +
      'listen on 127.0.0.1, configure one of auth.apiKeys, auth.jwt, auth.mtls and auth.webhook, ' +
      'or set server.allowUnauthenticatedPublic: true',
  );
}
