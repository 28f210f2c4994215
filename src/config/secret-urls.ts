import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import type { Secret } from '../secret.ts';
import { blockedPortOf } from './blocked-ports.ts';
import { readSecret } from './secrets.ts';

/** Whether it is an http or https URL, to which JSON-RPC can be sent. */
export function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && hasReadableCredentials(url);
}

/** Whether user name and password are percent-encoded as they must be. */
export function hasReadableCredentials({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username);
    decodeURIComponent(password);
    return true;
  } catch {
    return false;
  }
}

/** Whether the Redis client accepts it: the database in it must be a number. */
export function isRedisUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    /^rediss?:$/.test(url.protocol) &&
    url.hostname !== '' &&
    /^(?:\/\d{0,5})?$/.test(url.pathname) &&
    hasReadableCredentials(url)
  );
}

const secretForm = 'expected a reference, env:NAME or file:PATH, not the secret itself';

/** Where a secret is, never the secret. */
export const secretReference = z.string(secretForm).refine(isReference, secretForm);

/** Whether the text is `env:NAME` or `file:PATH`. */
export function isReference(text: string): boolean {
  return /^(?:env|file):/.test(text);
}

/**
 * The URLs of the chain's nodes, with references read. They may hold credentials: no log or error shows them. Throws
 * `SECRET_UNREADABLE`, and `CONFIG_INVALID` when what a reference names is not a URL.
 */
export function readRpcUrls(
  rpcUrls: readonly string[],
  resolvePath: (path: string) => string,
): readonly string[] {
  return rpcUrls.map((text, index) => readRpcUrl(text, index, resolvePath));
}

/** Like {@link readRpcUrls}, for the URL at this index. */
export function readRpcUrl(
  text: string,
  index: number,
  resolvePath: (path: string) => string,
): string {
  if (!isReference(text)) return text;
  const setting = `chain.rpcUrls.${index}`;
  const url = readSecret(text, { setting, resolvePath, createMissingFiles: false }).reveal();
  if (isHttpUrl(url) && blockedPortOf(url) === undefined) return url;
  const problem = isHttpUrl(url)
    ? 'is a URL with a port that HTTP clients refuse: expected another port'
    : 'is no http or https URL';
  throw new ConfigError('CONFIG_INVALID', `${setting}: what ${text} holds ${problem}`);
}

/**
 * The URL of Redis, with a reference read. Throws `SECRET_UNREADABLE`, and `CONFIG_INVALID` when what a reference names is not a
 * URL.
 */
export function readRedisUrl(text: string, resolvePath: (path: string) => string): Secret | string {
  if (!isReference(text)) return text;
  const setting = 'store.url';
  const secret = readSecret(text, { setting, resolvePath, createMissingFiles: false });
  if (isRedisUrl(secret.reveal())) return secret;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${setting}: what ${text} holds is no URL such as redis://HOST:PORT or rediss://USER:PASSWORD@HOST:PORT/0, or special characters in ` +
      'its password are not percent-encoded',
  );
}
