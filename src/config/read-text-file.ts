import { ConfigError } from '../errors.ts';
import { describeReadFailure, readPlainFile } from '../files/plain-file.ts';

/** Reads a UTF-8 file. `what` is the name of the file in messages. Throws `CONFIG_INVALID` when it can't be read. */
export function readTextFile(path: string, what: string): string {
  try {
    return readPlainFile(path).toString('utf8');
  } catch (cause) {
    throw new ConfigError(
      'CONFIG_INVALID',
      `${what} ${path} can't be read: ${describeReadFailure(cause)}`,
      { cause },
    );
  }
}
