import { ConfigError } from '../errors.ts';
import { readSecret } from './secrets.ts';

/** Whether JSON-RPC can be sent there. */
export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** Whether the text is `env:NAME` or `file:PATH`. */
export function isReference(text: string): boolean {
  return /^(?:env|file):/.test(text);
}

/**
 * The URLs of the chain's nodes, references read. They may hold credentials: no log or error shows them. Throws
 * `SECRET_UNREADABLE`, and `CONFIG_INVALID` when what a reference names is no URL.
 */
export function readRpcUrls(
  rpcUrls: readonly string[],
  resolvePath: (path: string) => string,
): readonly string[] {
  return rpcUrls.map((text, index) => {
    if (!isReference(text)) return text;
    const url = readSecret(text, { resolvePath, createMissingFiles: false }).reveal();
    if (isHttpUrl(url)) return url;
    throw new ConfigError(
      'CONFIG_INVALID',
      `chain.rpcUrls.${index}: what ${text} holds is no http or https URL`,
    );
  });
}
