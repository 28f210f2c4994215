import type { Config } from '../config/load.ts';
import { isReference } from '../config/secret-urls.ts';
import { readSecret } from '../config/secrets.ts';
import { type OutgoingHeaders, requireSendable } from '../outgoing/secret-headers.ts';

/**
 * The header values that are configured under `setting`; those that refer to a secret are read. Throws `SECRET_UNREADABLE`, and
 * `CONFIG_INVALID` for values that can't be sent.
 */
export function readHeaders(
  headers: Readonly<Record<string, string>>,
  resolvePath: Config['resolvePath'],
  setting: string,
): OutgoingHeaders {
  const read = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      isReference(value)
        ? readSecret(value, {
            setting: `${setting}.${name}`,
            resolvePath,
            createMissingFiles: false,
          })
        : value,
    ]),
  );
  requireSendable(read, setting);
  return read;
}
