import { ConfigError } from '../errors.ts';
import { Secret } from '../secret.ts';

/** Header names and values to send; some values are secret. */
export type OutgoingHeaders = Readonly<Record<string, string | Secret>>;

/** Headers that belong to the connection, and are set for it. */
const headersOfConnection =
  /^(?:connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i;

/**
 * Checks names and values once at the start: otherwise the library that sends them would refuse them at each payment, with
 * messages that quote them. Throws `CONFIG_INVALID`, which names the header, by the path of its setting, and never its value.
 */
export function requireSendable(headers: OutgoingHeaders, setting: string): void {
  for (const [name, value] of Object.entries(revealHeaders(headers))) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `${setting}: a name has characters that no header name may have`,
      );
    }
    if (headersOfConnection.test(name)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `${setting}.${name}: this header belongs to the connection; leave it out`,
      );
    }
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw new ConfigError(
        'CONFIG_INVALID',
        `${setting}.${name}: its value can't be sent: it has a line break, another control character, or one that ` +
          'is not in ISO 8859-1',
      );
    }
  }
}

/** The headers with their secret values revealed, to be sent. */
export function revealHeaders(headers: OutgoingHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      value instanceof Secret ? value.reveal() : value,
    ]),
  );
}
