import { readFileSync } from 'node:fs';
import { ConfigError } from '../errors.ts';

const reasonOfCode: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
};

/** A UTF-8 file as text. `what` says whose it is in the message. Throws `CONFIG_INVALID` when it can't be read. */
export function readTextFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new ConfigError(
      'CONFIG_INVALID',
      `${what} ${path} can't be read: ${reasonOfCode[code] ?? code}`,
      { cause },
    );
  }
}
