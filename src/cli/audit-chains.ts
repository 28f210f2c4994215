import { resolve } from 'node:path';
import { type ChainFolder, listChains } from '../audit/files.ts';
import { ConfigError } from '../errors.ts';
import { describeReadFailure } from '../files/plain-file.ts';

/** Lists the chains in a folder. Throws `CONFIG_INVALID` where there are none. */
export async function requireChains(folder: string): Promise<ChainFolder[]> {
  const path = resolve(folder);
  const chains = await listChains(path).catch((cause: unknown) => {
    const reason =
      (cause as NodeJS.ErrnoException).code === 'ENOTDIR'
        ? 'it is no folder, or lies in none'
        : describeReadFailure(cause);
    throw new ConfigError('CONFIG_INVALID', `${path} can't be read: ${reason}`, { cause });
  });
  if (chains.length > 0) return chains;
  throw new ConfigError(
    'CONFIG_INVALID',
    `there is no audit log in ${path}; give the folder of audit.path, or one of the folders in it`,
  );
}

const exitFailure = 1;

/** Prints a problem to standard error and goes on; the exit code will be 1. */
export function reportFailure(message: string): void {
  process.stderr.write(`livepeer-hsm-signer: ${message}\n`);
  process.exitCode = exitFailure;
}

/** Whether the error comes from the file system, or says that something that is not a file has a file's name. */
export function isUnreadable(error: unknown): error is Error {
  return (
    error instanceof Error && ('syscall' in error || error.message.endsWith('is not a plain file'))
  );
}

/** Runs a reading of chains, and names the file where one can't be read. Throws `CONFIG_INVALID`. */
export async function readingChains<Result>(read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (cause) {
    if (!isUnreadable(cause)) throw cause;
    const message = `the audit log can't be read: ${cause.message}`;
    throw new ConfigError('CONFIG_INVALID', message, { cause });
  }
}
