import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError } from '../errors.ts';
import { describeReadFailure, readPlainFile } from '../files/plain-file.ts';
import { Secret } from '../secret.ts';

export type SecretOptions = {
  /** what names the secret: the path of a setting, or an option of the command line */
  readonly setting: string;
  readonly resolvePath: (path: string) => string;
  /** Write a random secret, with access for its owner only, where a file is missing. */
  readonly createMissingFiles: boolean;
};

/**
 * Reads the secret that `env:NAME` or `file:PATH` refers to; a file's trailing line break is cut off.
 * Throws `SECRET_UNREADABLE`, which names the setting and the reference, and never the content.
 */
export function readSecret(reference: string, options: SecretOptions): Secret {
  const [, kind, target = ''] = /^(env|file):(.+)$/.exec(reference) ?? [];
  if (kind === 'env') {
    const text = process.env[target];
    if (text !== undefined && text !== '') return new Secret(text);
    const shown = /^[A-Z][A-Z0-9_]*$/.test(target)
      ? target
      : '(its name is not shown: it is not in upper case, and may be the secret itself)';
    throw unreadable(options, `environment variable ${shown} is not set`);
  }
  if (kind === 'file') return readSecretFile(options.resolvePath(target), options);
  throw unreadable(
    options,
    'a secret is named by reference, env:NAME or file:PATH, and never written into the configuration',
  );
}

function unreadable({ setting }: SecretOptions, reason: string, cause?: unknown): ConfigError {
  const data = { field: setting };
  return new ConfigError('SECRET_UNREADABLE', `${setting}: ${reason}`, { data, cause });
}

function readSecretFile(path: string, options: SecretOptions): Secret {
  if (options.createMissingFiles) createSecretFile(path);
  let text: string;
  try {
    text = readPlainFile(path)
      .toString('utf8')
      .replace(/\r?\n$/, '');
  } catch (cause) {
    throw unreadable(
      options,
      `secret file ${path} can't be read: ${describeReadFailure(cause)}`,
      cause,
    );
  }
  if (text === '') throw unreadable(options, `secret file ${path} is empty`);
  return new Secret(text);
}

function createSecretFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
