import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ProviderError } from '../../src/keys/provider.ts';

const maxFileBytes = 64 * 1024;

/** `UTC--<time>--<address>`, as geth names its files; some wallets add `.json`. */
const standardName = /^UTC--.+--([0-9a-f]{40})(\.json)?$/i;

/**
 * The keystore file that `path` names: itself, or the one in that folder, picked by `address` (20 bytes in hex, lower
 * case, without `0x`) where there are several. In a folder only files with geth's standard name count.
 * Throws `KEY_NOT_FOUND` or `KEY_AMBIGUOUS`.
 */
export async function findKeystore(path: string, address: string | undefined): Promise<string> {
  const found = await translateFailure(path, () => stat(path));
  if (!found.isDirectory()) return path;

  const names = await translateFailure(path, () => readdir(path));
  const candidates = names.flatMap((name) => {
    const namedAddress = standardName.exec(name)?.[1]?.toLowerCase();
    return namedAddress === undefined ? [] : [{ name, namedAddress }];
  });
  const [match, ...others] = candidates.filter(
    ({ namedAddress }) => address === undefined || namedAddress === address,
  );
  if (match === undefined) {
    const wanted = address === undefined ? '' : ` for 0x${address}`;
    throw notFound(`${path} holds no keystore file${wanted} (UTC--<time>--<address>)`);
  }
  if (others.length > 0) {
    const addresses = [match, ...others].map(({ namedAddress }) => `0x${namedAddress}`);
    throw new ProviderError(
      'KEY_AMBIGUOUS',
      `${path} holds ${addresses.length} keystore files that fit (${addresses.join(', ')}); ` +
        (new Set(addresses).size > 1
          ? 'set address, or let path name the file'
          : 'let path name the file'),
      { data: { field: 'path' } },
    );
  }
  return join(path, match.name);
}

/**
 * Reads a keystore file, which `setting` names; `isExposed` says that its mode lets others than the owner read or write it.
 * Throws `KEY_NOT_FOUND`, `KEY_ACCESS_DENIED`, `KEY_UNSUITABLE` or `PROVIDER_UNAVAILABLE`.
 */
export async function readKeystoreText(
  path: string,
  setting = 'path',
): Promise<{ text: string; isExposed: boolean }> {
  const found = await translateFailure(path, () => stat(path), setting);
  assertReadableSize(path, found, setting);
  const text = await translateFailure(path, () => readFile(path, 'utf8'), setting);
  return { text, isExposed: (found.mode & 0o077) !== 0 };
}

function assertReadableSize(path: string, found: Stats, setting: string): void {
  if (!found.isFile() || found.size > maxFileBytes) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${path} is not a keystore file; expected a regular file of at most ${maxFileBytes} bytes`,
      { data: { field: setting } },
    );
  }
}

/**
 * Where a new key may be written. A path that ends in `.json` is a file that must not exist; every other one is a
 * folder that must be absent or empty (hidden files don't count), so that it never holds two keys.
 * Throws `KEY_ALREADY_EXISTS`, or `KEY_UNSUITABLE` for a path that states the address of one particular key.
 */
export async function assertRoomForKey(path: string): Promise<void> {
  const occupant = await occupantOf(path);
  if (occupant !== undefined) {
    throw new ProviderError(
      'KEY_ALREADY_EXISTS',
      `${occupant} exists, and a new key is only made where nothing is; set path to another place, ` +
        'or move the file away if the key is not needed any more',
    );
  }
  if (standardName.test(basename(path))) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${path} states the address of one particular key; to make a new one, let path name its folder`,
    );
  }
}

async function occupantOf(path: string): Promise<string | undefined> {
  const found = await translateFailure(path, () => stat(path)).catch(ignoreNotFound);
  if (!found?.isDirectory()) return found && path;
  const names = await translateFailure(path, () => readdir(path));
  const name = names.find((candidate) => !candidate.startsWith('.'));
  return name && join(path, name);
}

function ignoreNotFound(error: unknown): undefined {
  if (!(error instanceof ProviderError) || error.code !== 'KEY_NOT_FOUND') throw error;
}

/**
 * Writes a new keystore file, mode 0600, at once or not at all; folders that are missing get mode 0700. Returns the
 * file's path. Throws `KEY_ALREADY_EXISTS` rather than replace a file.
 */
export async function writeKeystore(path: string, address: string, text: string): Promise<string> {
  const time = new Date().toISOString().replaceAll(':', '-');
  const file = path.endsWith('.json') ? path : join(path, `UTC--${time}--${address}`);
  const folder = dirname(file);
  const draft = join(folder, `.${randomUUID()}.tmp`);
  await translateFailure(file, async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    try {
      await writeDurably(draft, text);
      await link(draft, file);
    } finally {
      await rm(draft, { force: true });
    }
    await syncFolder(folder);
  });
  return file;
}

async function writeDurably(path: string, text: string): Promise<void> {
  await using handle = await open(path, 'wx', 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

function notFound(what: string, setting = 'path', cause?: unknown): ProviderError {
  const orMake =
    setting === 'path' ? ', or make a key with livepeer-hsm-signer keys new --config FILE' : '';
  return new ProviderError('KEY_NOT_FOUND', `${what}; correct ${setting}${orMake}`, {
    data: { field: setting },
    cause,
  });
}

async function translateFailure<Result>(
  path: string,
  action: () => Promise<Result>,
  setting = 'path',
): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const options = { data: { field: setting }, cause };
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw notFound(`there is no keystore at ${path}`, setting, cause);
    }
    if (code === 'EACCES' || code === 'EPERM') {
      throw new ProviderError(
        'KEY_ACCESS_DENIED',
        `this process may not use ${path}; give its user access to the file and its folder`,
        options,
      );
    }
    if (code === 'EEXIST') {
      throw new ProviderError(
        'KEY_ALREADY_EXISTS',
        `${path} exists and is not replaced; set path to another place`,
        options,
      );
    }
    throw new ProviderError(
      'PROVIDER_UNAVAILABLE',
      `the file system failed for ${path}; check the disk`,
      { ...options, ...(code !== undefined && { details: `the system's error is ${code}` }) },
    );
  }
}
